"""boards.yaml, as the inventory gives it, is what the client reads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from examples.ansible_template import render
from fleet.inventory import load_inventory, parse_boards

ROLE = Path(__file__).parents[2] / "deploy" / "ansible" / "roles" / "dispatcher_host"


@pytest.mark.parametrize("more", [{}, {"dispatcher_host_spares": ["pi3"]}])
def test_boards_of_the_inventory_are_those_of_the_client(tmp_path: Path, more: dict[str, Any]) -> None:
    hosts: dict[str, dict[str, Any]] = {
        "pi1": {"ansible_host": "10.0.0.11"},
        "pi2": {"ansible_host": "10.0.0.12", "node_service_listen": "0.0.0.0:6000"},
        "pi3": {"dispatcher_host_board": {"memory_mib": 700, "link_mbit_s": 300}},
    }
    values = {
        **yaml.safe_load((ROLE / "defaults" / "main.yml").read_text()),
        **yaml.safe_load((ROLE / "vars" / "main.yml").read_text()),
        "groups": {"boards": list(hosts)},
        "hostvars": hosts,
        "dispatcher_host_links": [{"between": ["pi1", "pi2"], "mbit_s": 94}],
        **more,
    }
    path = tmp_path / "boards.yaml"
    path.write_text(render(ROLE / "templates" / "boards.yaml.j2", values))
    found = load_inventory(parse_boards(str(path)))
    assert [(b.name, str(b.address)) for b in found.boards] == [
        ("pi1", "10.0.0.11:50051"),
        ("pi2", "10.0.0.12:6000"),
        ("pi3", "pi3:50051"),
    ]
    assert found.boards[2].memory_bytes == 700 * 2**20
    assert [b.name for b in found.serving] == ["pi1", "pi2", "pi3"][: 3 - len(more)]

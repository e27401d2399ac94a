"""What every role says of itself: its variables are named after it, described, and as usual what it specifies."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

ROLES = sorted((Path(__file__).parents[2] / "deploy" / "ansible" / "roles").iterdir())
PLAYBOOKS = [path for path in ROLES[0].parents[1].glob("*.yml") if not path.name.startswith("inventory")]
ALL_ROLES = pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)


def load(path: Path) -> Any:
    return yaml.safe_load(path.read_text()) or {}


def options(role: Path) -> dict[str, dict[str, Any]]:
    specified = load(role / "meta" / "argument_specs.yml")["argument_specs"]
    return {entry: content.get("options", {}) for entry, content in specified.items()}


@ALL_ROLES
def test_specification_and_defaults_agree(role: Path) -> None:
    defaults = load(role / "defaults" / "main.yml")
    assert {name: option["default"] for name, option in options(role)["main"].items()} == defaults
    for entry in options(role).values():
        assert {name: option["default"] for name, option in entry.items()}.items() <= defaults.items()


@ALL_ROLES
def test_every_option_is_described_and_named_after_the_role(role: Path) -> None:
    for entry in options(role).values():
        for name, option in entry.items():
            assert name.startswith(f"{role.name}_")
            assert option["description"]


@ALL_ROLES
def test_every_way_in_is_specified(role: Path) -> None:
    asked = {
        task["ansible.builtin.import_role"].get("tasks_from", "main")
        for playbook in PLAYBOOKS
        for play in load(playbook)
        for task in play.get("tasks", ())
        if task.get("ansible.builtin.import_role", {}).get("name") == role.name
    }
    assert asked <= set(options(role))

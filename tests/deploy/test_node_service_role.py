"""The role's defaults are those that it specifies, its map of images is unambiguous, and its unit is sound and tight."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from examples.ansible_template import render

ROLE = Path(__file__).parents[2] / "deploy" / "ansible" / "roles" / "node_service"
MOST_EXPOSED = 25  # in tenths, as systemd-analyze takes it


def load(path: str) -> Any:
    return yaml.safe_load((ROLE / path).read_text())


DEFAULTS, VARIABLES = load("defaults/main.yml"), load("vars/main.yml")
SPECIFIED = load("meta/argument_specs.yml")["argument_specs"]


def test_specification_and_defaults_agree() -> None:
    specified = {name: option["default"] for name, option in SPECIFIED["main"]["options"].items()}
    assert specified == DEFAULTS
    for name, option in SPECIFIED["remove"]["options"].items():
        assert option["default"] == DEFAULTS[name]


def test_every_option_is_described_and_named_after_the_role() -> None:
    for entry in SPECIFIED.values():
        for name, option in entry["options"].items():
            assert name.startswith("node_service_")
            assert option["description"]


def test_every_image_is_in_the_map_once() -> None:
    entries = [*VARIABLES["node_service_images"], *VARIABLES["node_service_refused_images"]]
    places = [(release, machine) for e in entries for release in e["release"] for machine in e["machine"]]
    assert len(set(places)) == len(places)
    for image in VARIABLES["node_service_images"]:
        assert image["python"].replace(".", "").endswith(image["tag"].removeprefix("cp"))
        assert image["runtime"] in ("ai-edge-litert", "tflite-runtime")
        assert (image["runtime"] == "tflite-runtime") == ("armv7l" in image["machine"])
    for image in VARIABLES["node_service_refused_images"]:
        assert image["instead"]


def unit(tmp_path: Path, **settings: object) -> Path:
    """As Ansible renders it, with this environment's interpreter in the place of the board's."""
    (tmp_path / "venv" / "bin").mkdir(parents=True)
    (tmp_path / "venv" / "bin" / "python").symlink_to(sys.executable)
    values = {
        **DEFAULTS,
        **VARIABLES,
        "inventory_hostname": "pi1",
        "node_service_kind": {"devices": [], "groups": []},
        "node_service_home": str(tmp_path),
        **settings,
    }
    path = tmp_path / "boardline-node.service"
    path.write_text(render(ROLE / "templates" / "boardline-node.service.j2", values))
    return path


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"node_service_kind": {"devices": ["/dev/vcio rw"], "groups": ["video"]}, "node_service_cpu_affinity": "1-3"},
        {"node_service_metrics": "0.0.0.0:9100", "node_service_metrics_tls": True, "node_service_threads": 2},
        {"node_service_arguments": ["--max-frame-mib", "64"], "node_service_devices": ["/dev/i2c-1 rw"]},
    ],
)
def test_unit_is_sound_and_tight(tmp_path: Path, settings: dict[str, object]) -> None:
    path = unit(tmp_path, **settings)
    for arguments in (("verify",), ("security", "--offline=true", f"--threshold={MOST_EXPOSED}")):
        ended = subprocess.run(["systemd-analyze", *arguments, str(path)], capture_output=True, text=True, timeout=60)
        said = ended.stdout + ended.stderr
        assert ended.returncode == 0, said
        assert arguments != ("verify",) or not said


def test_service_takes_the_unit_s_arguments(tmp_path: Path) -> None:
    """Its own command line is asked, so that the two cannot drift apart."""
    settings: dict[str, object] = {"node_service_metrics": "off", "node_service_threads": 1}
    text = unit(tmp_path, **settings).read_text()
    (line,) = re.findall(r"^ExecStart=(.*?[^\\])$", text, re.MULTILINE | re.DOTALL)
    command = line.replace("\\\n", " ").split()
    command[0] = sys.executable
    command[command.index("--store") + 1] = str(tmp_path / "store")
    command[command.index("--credentials") + 1] = str(tmp_path / "nowhere")
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=ROLE.parents[3])
    assert ended.returncode == 1
    assert "nowhere" in ended.stderr.replace("\n", "")
    assert "Usage" not in ended.stderr

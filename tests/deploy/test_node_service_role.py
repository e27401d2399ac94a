"""The map of images is unambiguous, and the unit is sound and tight."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from examples.ansible_template import render

ROLE = Path(__file__).parents[2] / "deploy" / "ansible" / "roles" / "node_service"
RELEASE = "0123456789ab"
MOST_EXPOSED = 25  # in tenths, as systemd-analyze takes it


def load(path: str) -> Any:
    return yaml.safe_load((ROLE / path).read_text())


DEFAULTS, VARIABLES = load("defaults/main.yml"), load("vars/main.yml")
IMAGES = load("../release/vars/main.yml")


def test_every_image_is_in_the_map_once() -> None:
    entries = [*IMAGES["release_images"], *IMAGES["release_refused_images"]]
    places = [(release, machine) for e in entries for release in e["release"] for machine in e["machine"]]
    assert len(set(places)) == len(places)
    for image in IMAGES["release_images"]:
        assert image["python"].replace(".", "").endswith(image["tag"].removeprefix("cp"))
        assert image["runtime"] in ("ai-edge-litert", "tflite-runtime")
        assert (image["runtime"] == "tflite-runtime") == ("armv7l" in image["machine"])
    for image in IMAGES["release_refused_images"]:
        assert image["instead"]


def unit(tmp_path: Path, **settings: object) -> Path:
    """As Ansible renders it, with this environment's interpreter in the place of the board's."""
    binaries = tmp_path / "releases" / RELEASE / "venv" / "bin"
    binaries.mkdir(parents=True)
    (binaries / "python").symlink_to(sys.executable)
    values = {
        **DEFAULTS,
        **VARIABLES,
        "inventory_hostname": "pi1",
        "node_service_kind": VARIABLES["node_service_other_kind"],
        "node_service_home": str(tmp_path),
        "release_id": RELEASE,
        **settings,
    }
    path = tmp_path / "boardline-node.service"
    path.write_text(render(ROLE / "templates" / "boardline-node.service.j2", values))
    return path


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"node_service_kind": VARIABLES["node_service_kinds"][0], "node_service_cpu_affinity": "1-3"},
        {"node_service_metrics": "0.0.0.0:9100", "node_service_metrics_tls": True, "node_service_threads": 2},
        {"node_service_delegates": ["npu=/usr/lib/libvx_delegate.so,cache=on", "gpu=/usr/lib/libgpu_delegate.so"]},
        {"node_service_announce": True},
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


@pytest.mark.parametrize(
    ("restarts", "at_last_start", "waits"),
    [(0, "", ""), (1, "0", ""), (2, "", "4"), (2, "0", "4"), (5, "2", "8"), (9, "2", "60"), (7, "7", ""), (0, "7", "")],
)
def test_failed_starts_wait_longer_and_longer(tmp_path: Path, restarts: int, at_last_start: str, waits: str) -> None:
    """The unit's own line, with systemd's count of restarts and `sleep` played."""
    (line,) = re.findall(r"^ExecStartPre=\+(/bin/sh .*?[^\\])$", unit(tmp_path).read_text(), re.MULTILINE | re.DOTALL)
    (tmp_path / "boardline-node").mkdir()
    if at_last_start:
        (tmp_path / "boardline-node" / "restarts").write_text(f"{at_last_start}\n")
    for name, does in (("systemctl", f"echo {restarts}"), ("sleep", 'echo "$1"')):
        (tmp_path / name).write_text(f"#!/bin/sh\n{does}\n")
        (tmp_path / name).chmod(0o755)
    for specifier, value in (
        ("%n", "boardline-node.service"),
        ("%t", str(tmp_path)),
        ("%N", "boardline-node"),
        ("$$", "$"),
    ):
        line = line.replace(specifier, value)
    environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    ended = subprocess.run(shlex.split(line), capture_output=True, text=True, timeout=60, env=environment)
    assert (ended.stderr, ended.stdout.strip()) == ("", waits)


def test_service_takes_the_unit_s_arguments(tmp_path: Path) -> None:
    """Its own command line is asked, so that the two cannot drift apart."""
    settings: dict[str, object] = {
        "node_service_announce": True,
        "node_service_metrics": "off",
        "node_service_threads": 1,
    }
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


@pytest.mark.parametrize("kind", [*VARIABLES["node_service_kinds"], VARIABLES["node_service_other_kind"]])
def test_sensors_and_governor_are_set_as_systemd_reads_it(tmp_path: Path, kind: dict[str, Any]) -> None:
    """Files as the map names them, below another root; that of another kind of board is not there, and no error."""
    values = {**DEFAULTS, **VARIABLES, "node_service_kind": kind, "node_service_cpu_governor": "performance"}
    text = render(ROLE / "templates" / "tmpfiles.conf.j2", {**values, "node_service_user": "root"})
    files = [Path(pattern.replace("*", "0")) for pattern in kind["sensors"]]
    governor = Path("/sys/devices/system/cpu/cpufreq/policy0/scaling_governor")
    for path in (*files, governor):
        (tmp_path / path.relative_to("/")).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path.relative_to("/")).write_text("powersave\n")
        (tmp_path / path.relative_to("/")).chmod(0o400)
    (tmp_path / "etc" / "tmpfiles.d").mkdir(parents=True)
    (tmp_path / "etc" / "tmpfiles.d" / "boardline-node.conf").write_text(text)
    command = ["systemd-tmpfiles", "--create", f"--root={tmp_path}", "boardline-node.conf"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 0, ended.stderr
    for path in files:
        assert (tmp_path / path.relative_to("/")).stat().st_mode & 0o777 == 0o440
    assert (tmp_path / governor.relative_to("/")).read_text().strip() == "performance"

"""Virtual boards with an inventory, as somebody who runs the playbooks has them."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from deploy.virtual_boards import VirtualBoard, VirtualFleet
from deploy.wheelhouse import build, pack

ROOT = Path(__file__).parents[3]
PLAYBOOKS = ROOT / "deploy" / "ansible"
TOOLS = ROOT / ".cache" / "deploy-tools" / "bin"
TARGETS = {"amd64": "cp311-x86_64", "arm64": "cp311-aarch64"}
_PLAY_TIMEOUT_S = 1800.0
_RECAP = re.compile(r"^(\S+)\s+: (ok=.*)$", re.MULTILINE)


@dataclass
class Played:
    """What a playbook did: counts by host, as `changed` and `failed`."""

    seconds: float
    counts: Mapping[str, Mapping[str, int]]
    output: str

    def total(self, what: str) -> int:
        return sum(counts[what] for counts in self.counts.values())


class Site:
    """Boards, and `camera`, the last host with a PC's processor, from which frames come and where Prometheus runs; a board itself
    only if there is no other host of that kind."""

    def __init__(self, fleet: VirtualFleet, directory: Path, n_amd64: int) -> None:
        self.fleet = fleet
        self.directory = directory
        self.inventory = directory / "inventory.yml"
        self.camera = fleet.boards[n_amd64 - 1]
        self.boards: dict[str, VirtualBoard] = {
            b.spec.name: b for b in fleet.boards if b is not self.camera or n_amd64 == 1
        }
        (mitogen,) = TOOLS.parent.glob("lib/python*/site-packages/ansible_mitogen/plugins/strategy")
        strategy = {"ANSIBLE_STRATEGY_PLUGINS": str(mitogen), "ANSIBLE_STRATEGY": "mitogen_linear"}
        plain = {**os.environ, "PATH": f"{TOOLS}:{os.environ['PATH']}", "ANSIBLE_NOCOLOR": "1"}
        self._environment = plain if os.environ.get("BOARDLINE_PLAIN_ANSIBLE") else {**plain, **strategy}

    @property
    def credentials(self) -> Path:
        """Those of the camera, made by the playbook."""
        name = self.camera.spec.name
        return self.directory / "fleet" / (f"{name}-client" if name in self.boards else name)

    def make_wheels(self) -> None:
        """As `make wheelhouse` does."""
        kinds = {board.image.kind.name for board in self.fleet.boards}
        build(self.directory / "wheelhouse", sorted(TARGETS[kind] for kind in kinds))

    def next_release(self) -> None:
        """The same environments with a note more, as another release: an archive's hash is what names it."""
        for archive in (self.directory / "wheelhouse").glob("*/*.tar.gz"):
            with tempfile.TemporaryDirectory() as scratch:
                with tarfile.open(archive) as made:
                    made.extractall(scratch, filter="data")
                (Path(scratch) / "next").touch()
                pack(archive, Path(scratch))

    def write_inventory(self, **variables: object) -> None:
        """Groups as the example has them."""
        given = yaml.safe_load(self.fleet.inventory_text())["boards"]
        camera: dict[str, Any] = {self.camera.spec.name: {}}
        groups = {
            "boards": {"hosts": {name: given["hosts"][name] for name in self.boards}},
            "dispatchers": {"hosts": {self.camera.spec.name: given["hosts"][self.camera.spec.name]}},
            "monitoring": {"hosts": camera},
        }
        content = {"all": {"children": groups, "vars": {**given["vars"], **variables}}}
        self.inventory.write_text(yaml.safe_dump(content, sort_keys=False))

    def play(self, playbook: str, *arguments: str) -> Played:
        """Raises: AssertionError: it failed, with what it said."""
        command = [str(TOOLS / "ansible-playbook"), "-i", str(self.inventory), playbook, *arguments]
        began_s = time.monotonic()
        ended = self.fleet.run(
            command,
            timeout=_PLAY_TIMEOUT_S,
            check=False,
            cwd=PLAYBOOKS,
            env=self._environment,
            capture_output=True,
            text=True,
        )
        seconds = time.monotonic() - began_s
        print(f"\n{playbook} {' '.join(arguments)}: {seconds:.0f} s", flush=True)
        assert ended.returncode == 0, f"{playbook}:\n{ended.stdout}\n{ended.stderr}"
        counts = {
            host: {key: int(value) for key, value in (pair.split("=") for pair in found.split())}
            for host, found in _RECAP.findall(ended.stdout)
        }
        return Played(seconds, counts, ended.stdout)

    def ask(self, *arguments: str) -> Any:
        """What the camera's command says, as JSON; its exit status may say that a board is away."""
        credentials = "--credentials /etc/boardline-client/credentials"
        command = f"sudo boardline-client {' '.join(arguments)} {credentials} --json"
        said = self.camera.run(command, timeout_s=120, check=False)
        return json.loads(said.stdout)

    @contextmanager
    def stream(self, bundle: Path) -> Iterator[Stream]:
        """Frames through the boards all the time, from a process in their network."""
        boards = self.directory / "boards.yaml"
        boards.write_text(self.camera.run("sudo cat /etc/boardline-client/boards.yaml").stdout)
        where = [str(bundle), str(boards), str(self.credentials)]
        command = self.fleet.command([sys.executable, "-m", "tests.deploy.booted.streaming", *where])
        process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        try:
            yield Stream(process)
        finally:
            process.kill()
            process.communicate()


class Stream:
    """A stream that goes on until `end`."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self._answers = 0
        self.wait_for(1)

    def wait_for(self, answers: int) -> None:
        """Returns once so many more have come. Raises: AssertionError: not in time."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._answers += answers
        self._process.stdin.write(f"until {self._answers}\n")
        self._process.stdin.flush()
        said = self._process.stdout.readline()
        assert said == "there\n", said

    def end(self) -> dict[str, Any]:
        """How many were sent, answered and wrong, and what errors said."""
        said, _ = self._process.communicate("end\n", timeout=120)
        return dict(json.loads(said))


def files_of(board: VirtualBoard) -> set[str]:
    """All that is on a board's disk but for what every system writes by itself."""
    places = "/etc /opt /root /srv /usr /var /home"
    listed = board.run(f"sudo find {places} -xdev", timeout_s=120).stdout.split("\n")
    by_itself = re.compile(r"/\.ansible|__pycache__|^/var/(log|lib/(systemd|apt|dpkg|private)|cache|tmp)|^/etc/[^/]*-$")
    return {path for path in listed if not by_itself.search(path)}

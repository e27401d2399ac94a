"""What readers of every page have: model, pictures, bundle, boards; `stage parts boards` in a hidden block brings the last two."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from pathlib import Path

import yaml

from dispatcher_client.certificates import make_fleet

BOARDS = {f"pi{n}": f"10.0.0.{10 + n}" for n in (1, 2, 3, 4)}
CLIENTS = {"laptop": "operate", "camera": "stream"}
_PORT = 50051
_START_S = 30.0


def boards_yaml() -> str:
    """The inventory of the pages' fleet."""
    lines = [f"  - {{ name: {name}, address: {host}:{_PORT} }}" for name, host in BOARDS.items()]
    return "\n".join(["boards:", *lines, ""])


def inventory_yml() -> str:
    """The same fleet as the playbooks see it."""
    hosts = {name: {"ansible_host": host} for name, host in BOARDS.items()}
    groups = {
        "boards": {"hosts": hosts},
        "dispatchers": {"hosts": {"camera": {}}},
        "monitoring": {"hosts": {"watcher": {}}},
    }
    return yaml.safe_dump({"all": {"children": groups}})


def start_boards() -> None:
    """Certificates in fleet/, and a node service on each board's address; they end with the page's processes."""
    make_fleet(Path("fleet"), {name: [host] for name, host in BOARDS.items()}, CLIENTS)
    Path("boards.yaml").write_text(boards_yaml())
    logs = []
    for name, host in BOARDS.items():
        command = ["--listen", f"{host}:{_PORT}", "--store", f"stores/{name}", "--credentials", f"fleet/{name}"]
        logs.append(Path(f"{name}.log"))
        with logs[-1].open("w") as log:
            subprocess.Popen(
                [sys.executable, "-m", "node_service", "--threads", "1", *command], stderr=log, start_new_session=True
            )
    stop_s = time.monotonic() + _START_S
    while not all(" serves on " in log.read_text() for log in logs):
        if time.monotonic() > stop_s:
            sys.exit("\n".join(log.read_text() for log in logs))
        time.sleep(0.1)


def copy_parts() -> None:
    """A bundle of three parts, as if `split` had just made it."""
    shutil.copytree(Path.home() / "prepared" / "parts", "parts")


if __name__ == "__main__":
    for wanted in sys.argv[1:]:
        {"boards": start_boards, "parts": copy_parts}[wanted]()

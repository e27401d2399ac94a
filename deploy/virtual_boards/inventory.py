"""Ansible's inventory of a fleet."""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

from deploy.virtual_boards.machine import VirtualBoard
from deploy.virtual_boards.recipe import USER
from deploy.virtual_boards.ssh import COMMON_OPTIONS

GROUP = "boards"


def inventory(boards: Iterable[VirtualBoard], control_directory: Path) -> str:
    """The inventory, as YAML; for use inside the fleet's namespace.

    Args: control_directory: where Ansible keeps connections open. Not the one that all fleets would share: with the same
        addresses in each, it would talk to the boards of another.
    """
    hosts: dict[str, dict[str, Any]] = {
        board.spec.name: {
            "ansible_host": board.host,
            "ansible_ssh_private_key_file": str(board.image.private_key),
        }
        for board in boards
    }
    variables = {
        "ansible_user": USER,
        "ansible_host_key_checking": False,
        "ansible_ssh_common_args": shlex.join(COMMON_OPTIONS),
        "ansible_control_path_dir": str(control_directory),
        "ansible_pipelining": True,  # half as many logins, each of which takes an emulated board a second
    }
    return yaml.safe_dump({GROUP: {"hosts": hosts, "vars": variables}}, sort_keys=False)

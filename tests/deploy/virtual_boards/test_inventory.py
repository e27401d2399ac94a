"""Ansible finds the boards of this fleet, and no other's."""

from __future__ import annotations

from pathlib import Path

import yaml

from deploy.virtual_boards import BaseImage, VirtualBoard
from deploy.virtual_boards.inventory import inventory
from deploy.virtual_boards.machine import BoardSpec


def test_inventory_has_addresses_and_keys(image: BaseImage, tmp_path: Path) -> None:
    boards = [VirtualBoard(BoardSpec(f"board{i + 1}", i, 512), image, list, tmp_path) for i in range(2)]
    group = yaml.safe_load(inventory(boards, tmp_path / "ssh"))["boards"]
    assert {name: host["ansible_host"] for name, host in group["hosts"].items()} == {
        "board1": "10.77.0.11",
        "board2": "10.77.0.12",
    }
    assert group["hosts"]["board1"]["ansible_ssh_private_key_file"] == str(image.private_key)
    assert group["vars"]["ansible_user"] == "pi"
    assert group["vars"]["ansible_host_key_checking"] is False
    assert "-o UserKnownHostsFile=/dev/null" in group["vars"]["ansible_ssh_common_args"]
    assert group["vars"]["ansible_control_path_dir"] == str(tmp_path / "ssh")

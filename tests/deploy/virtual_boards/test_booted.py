"""One board that boots: systemd comes up whole, and what was synced survives a power cut."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from deploy.virtual_boards import VirtualFleet

CACHE = Path(__file__).parents[3] / ".cache" / "virtual-boards"
BOOT_TIMEOUT_S = 240.0


@pytest.mark.booted
@pytest.mark.timeout(3600)  # the image may have to be made first
def test_board_comes_up_whole_and_keeps_what_was_synced(able: None) -> None:
    with VirtualFleet(amd64=1, cache=CACHE, boot_timeout_s=BOOT_TIMEOUT_S) as fleet:
        board = fleet.boards[0]
        state = board.run("systemctl is-system-running --wait", timeout_s=120, check=False).stdout.strip()
        failed = board.run("systemctl list-units --failed --plain", check=False).stdout
        assert state == "running", failed
        assert board.run("hostname").stdout == "board1\n"
        assert board.run("sudo id -u").stdout == "0\n"
        board.run("echo kept > kept && sync")
        first = board.run("cat /proc/sys/kernel/random/boot_id").stdout
        board.power_cut()
        begun_s = time.monotonic()
        board.boot(timeout_s=BOOT_TIMEOUT_S)
        print(f"booted again in {time.monotonic() - begun_s:.1f} s")
        assert board.run("cat kept").stdout == "kept\n"
        assert board.run("cat /proc/sys/kernel/random/boot_id").stdout != first
        board.shut_down()
        assert not board.is_on

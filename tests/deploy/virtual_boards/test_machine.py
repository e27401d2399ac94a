"""A board's power switch, its console, and what is said when it does not come up."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from deploy.virtual_boards import BaseImage, BoardBootError, BoardCommandError, FleetSpecError, VirtualBoard
from deploy.virtual_boards.architecture import ARCHITECTURES
from deploy.virtual_boards.machine import BoardSpec, emulator_command

SPEC = BoardSpec("board2", index=1, memory_mib=512)


@pytest.fixture
def board(all_stand_ins: None, image: BaseImage, tmp_path: Path) -> Iterator[VirtualBoard]:
    made = VirtualBoard(SPEC, image, list, tmp_path)
    yield made
    made.power_cut()


def test_command_line_gives_a_board_its_address_and_disk(image: BaseImage) -> None:
    command = emulator_command(SPEC, image, Path("/disk.qcow2"), Path("/board2.log"))
    options = dict(zip(command[1:], command[2:]))
    assert command[0] == "qemu-system-x86_64"
    assert options["-m"] == "512"
    assert options["-kernel"] == str(image.kernel)
    assert options["-drive"].endswith("file=/disk.qcow2")
    assert "ifname=tap1," in options["-netdev"]
    assert "append=on,path=/board2.log" in options["-chardev"]
    words = options["-append"].split()
    assert "console=ttyS0" in words
    assert "ip=10.77.0.12:::255.255.255.0:board2:eth0:none" in words
    assert "systemd.hostname=board2" in words
    assert "mac=52:54:00:77:00:0c" in " ".join(command)


def test_command_line_of_another_architecture_has_its_processor_and_console(image: BaseImage) -> None:
    arm = BaseImage(ARCHITECTURES["arm64"], image.directory, image.private_key)
    command = emulator_command(SPEC, arm, Path("/disk.qcow2"), Path("/board2.log"))
    assert command[0] == "qemu-system-aarch64"
    assert "cortex-a72" in command
    assert "console=ttyAMA0" in " ".join(command)


def test_board_boots_once_and_again_after_a_power_cut(board: VirtualBoard) -> None:
    board.boot(timeout_s=20)
    assert board.is_on
    pid = board.pid
    assert pid is not None
    with pytest.raises(FleetSpecError, match="board2 is on already"):
        board.turn_on()
    board.power_cut()
    assert board.pid is None
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    board.boot(timeout_s=20)
    assert repr(board) == "<VirtualBoard board2 amd64 10.77.0.12 on>"


def test_board_that_goes_off_shows_its_console(board: VirtualBoard, stand_in: Callable[[str, str], None]) -> None:
    stand_in("qemu-system-x86_64", r'printf "Kernel panic\033[0m - no root\r\n"; exit 1')
    stand_in("ssh", "sleep 0.2; exit 255")
    with pytest.raises(BoardBootError, match=r"(?s)board2 went off while it booted.*Kernel panic\[0m - no root"):
        board.boot(timeout_s=20)


def test_board_that_does_not_answer_shows_its_console(
    board: VirtualBoard, stand_in: Callable[[str, str], None]
) -> None:
    stand_in("ssh", "exit 255")
    with pytest.raises(BoardBootError, match=r"(?s)did not answer over SSH within 1 s.*Linux version 6"):
        board.boot(timeout_s=1)
    assert board.is_on


def test_command_runs_as_pi_with_the_images_key(board: VirtualBoard, stand_in: Callable[[str, str], None]) -> None:
    stand_in("ssh", 'echo "$@"')
    said = board.run("uptime").stdout
    assert said.endswith("pi@10.77.0.12 uptime\n")
    assert f"-i {board.image.private_key}" in said


def test_failed_command_is_an_error_unless_asked_for(board: VirtualBoard, stand_in: Callable[[str, str], None]) -> None:
    stand_in("ssh", "echo degraded; exit 3")
    with pytest.raises(BoardCommandError, match="board2: `systemctl` ended with 3 and said: degraded"):
        board.run("systemctl")
    assert board.run("systemctl", check=False).returncode == 3


def test_command_that_does_not_end_is_an_error(board: VirtualBoard, stand_in: Callable[[str, str], None]) -> None:
    stand_in("ssh", "exec sleep 600")
    with pytest.raises(BoardCommandError, match=r"`uptime` did not end within 0.1 s"):
        board.run("uptime", timeout_s=0.1)


def test_board_shuts_down_by_itself(board: VirtualBoard, stand_in: Callable[[str, str], None], tmp_path: Path) -> None:
    stand_in("qemu-system-x86_64", f"until [ -e {tmp_path}/off ]; do sleep 0.05; done")
    board.boot(timeout_s=20)
    stand_in("ssh", f": > {tmp_path}/off; exit 255")
    board.shut_down(timeout_s=20)
    assert not board.is_on
    with pytest.raises(FleetSpecError, match="board2 is off already"):
        board.shut_down()


def test_board_that_does_not_shut_down_shows_its_console(board: VirtualBoard) -> None:
    board.boot(timeout_s=20)
    with pytest.raises(BoardCommandError, match=r"(?s)did not shut down within 0.1 s.*Linux version 6"):
        board.shut_down(timeout_s=0.1)

"""A fleet ends with all that it made, however its end comes."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from deploy.virtual_boards import BoardBootError, FleetSpecError, VirtualFleet

pytestmark = pytest.mark.usefixtures("able", "all_stand_ins", "keyring")


@pytest.mark.parametrize(("amd64", "arm64"), [(0, 0), (2, -1), (100, 1)])
def test_fleets_that_cannot_be_are_refused(amd64: int, arm64: int) -> None:
    with pytest.raises(FleetSpecError, match="expected 1 to 100"):
        VirtualFleet(amd64=amd64, arm64=arm64)


def test_boards_are_of_the_wanted_kinds_and_reached_in_the_namespace(cache: Path) -> None:
    with VirtualFleet(amd64=2, arm64=1, cache=cache) as fleet:
        assert [b.image.kind.name for b in fleet.boards] == ["amd64", "amd64", "arm64"]
        assert fleet.inventory.read_text() == fleet.inventory_text()
        said = fleet.run(["ip", "-brief", "link"], timeout=20, capture_output=True, text=True).stdout
        assert {line.split()[0] for line in said.splitlines()} == {"lo", "br0", "tap0", "tap1", "tap2"}
        assert fleet.board("board3") is fleet.boards[2]
        with pytest.raises(FleetSpecError, match="no board 'pi1'; there are board1, board2, board3"):
            fleet.board("pi1")
    _assert_gone(fleet)


def test_memory_can_be_given(cache: Path) -> None:
    with VirtualFleet(amd64=1, memory_mib=1024, cache=cache) as fleet:
        assert fleet.boards[0].spec.memory_mib == 1024


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_nothing_stays_after_an_exception(cache: Path, error: type[BaseException]) -> None:
    fleet = VirtualFleet(amd64=2, cache=cache)
    pids: list[int] = []
    with pytest.raises(error), fleet:
        _fail(fleet, pids, error)
    _assert_gone(fleet)
    assert len(pids) == 2
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_nothing_stays_when_a_board_does_not_boot(cache: Path, stand_in: Callable[[str, str], None]) -> None:
    stand_in("qemu-system-x86_64", "echo no; exit 1")
    stand_in("ssh", "exit 255")
    fleet = VirtualFleet(amd64=1, cache=cache)
    with pytest.raises(BoardBootError, match="board1 went off"), fleet:
        pass
    _assert_gone(fleet)


def _fail(fleet: VirtualFleet, pids: list[int], error: type[BaseException]) -> None:
    pids += [board.pid for board in fleet.boards if board.pid is not None]
    raise error


def _assert_gone(fleet: VirtualFleet) -> None:
    assert not fleet.namespace.exists()
    assert not fleet.directory.exists()
    assert not any(board.is_on for board in fleet.boards)

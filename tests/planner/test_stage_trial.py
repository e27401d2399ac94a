"""A stage in service for a moment: what it costs is told, and whatever happens nothing of it stays loaded."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from examples.local_boards import LocalBoards
from fleet.board_control import BoardControl
from fleet.errors import BoardRefusedError, ComputeFailedError
from fleet.event_loop import run_in_loop
from fleet.inventory import Board
from partitioning import Graph
from planner.board_profiles import BoardRecord, describe_boards
from planner.model import PlannerModel
from planner.stage_trial import try_stage
from protos.v1.control_plane_pb2 import Description
from tests.node_service.model_files import failing_model
from tests.planner.on_boards import SETTINGS, trials_on


def record_of(board: Board) -> BoardRecord:
    return BoardRecord(board, Description())


async def missing(board: Board, sha256: str) -> set[str]:
    async with BoardControl(board, insecure=False, timeout_s=10) as control:
        return await control.find_missing([sha256])


def test_trial_tells_the_services_processor_time_and_keeps_the_file_only(
    dense: PlannerModel, boards: LocalBoards
) -> None:
    board = boards.named[0]
    cpu_s = run_in_loop(try_stage(dense, (2, 4), record_of(board), SETTINGS))
    assert 0 < cpu_s < 1
    assert trials_on(board) == []
    assert run_in_loop(missing(board, dense.segment((2, 4)).sha256)) == set()
    assert run_in_loop(try_stage(dense, (2, 4), record_of(replace(board, threads=2)), SETTINGS)) > 0


def test_two_clients_try_the_same_stage_at_once(dense: PlannerModel, boards: LocalBoards) -> None:
    """The shorter trial is over, and unloaded, while the longer one still exchanges frames."""
    board = boards.named[0]

    async def both() -> list[float]:
        trials = (try_stage(dense, (2, 4), record_of(board), replace(SETTINGS, budget_s=s)) for s in (0.05, 0.5))
        return await asyncio.gather(*trials)

    assert all(cpu_s > 0 for cpu_s in run_in_loop(both()))
    assert trials_on(board) == []


def test_stage_that_the_board_refuses_to_load_is_an_error_and_leaves_nothing(
    dense: PlannerModel, boards: LocalBoards
) -> None:
    board = replace(boards.named[0], threads=10**6)
    with pytest.raises(BoardRefusedError, match=r"board1: .*threads"):
        run_in_loop(try_stage(dense, (0, 2), record_of(board), SETTINGS))
    assert trials_on(board) == []


def test_stage_that_fails_on_its_frames_is_an_error_and_leaves_nothing(boards: LocalBoards) -> None:
    model = PlannerModel("failing", Graph.from_bytes(failing_model()), (0, 1))
    with pytest.raises(ComputeFailedError, match="board1"):
        run_in_loop(try_stage(model, (0, 1), record_of(boards.named[0]), SETTINGS))
    assert trials_on(boards.named[0]) == []


@pytest.mark.parametrize("delay_s", [0.0, 0.01, 0.03, 0.1])
def test_trial_that_is_cancelled_leaves_nothing(dense: PlannerModel, boards: LocalBoards, delay_s: float) -> None:
    """Cancelled while it uploads, loads or exchanges frames."""
    board = boards.named[1]

    async def cancel() -> None:
        records = await describe_boards([board], SETTINGS)
        trial = asyncio.ensure_future(try_stage(dense, (1, 5), records["board2"], replace(SETTINGS, budget_s=60)))
        await asyncio.wait([trial], timeout=delay_s)
        trial.cancel()
        await asyncio.wait([trial])
        assert trial.done()

    run_in_loop(cancel())
    assert trials_on(board) == []

"""A chain in service for a moment: what its stages cost is told, and whatever happens nothing of it stays loaded."""

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
from partitioning.planning import Chain
from planner.board_profiles import BoardRecord, ServiceCost, describe_boards
from planner.chain_trial import stages_of, try_chain, try_chains
from planner.model import PlannerModel
from protos.v1.control_plane_pb2 import Description
from tests.credentials import OPERATOR
from tests.node_service.model_files import failing_model
from tests.planner.on_boards import LAYERS, SETTINGS, trials_on

_END = LAYERS + 1


def records_of(*boards: Board) -> dict[str, BoardRecord]:
    return {board.name: BoardRecord(board, Description()) for board in boards}


async def missing(board: Board, sha256: str) -> set[str]:
    async with BoardControl(board, credentials=OPERATOR, timeout_s=10) as control:
        return await control.find_missing([sha256])


def test_trial_tells_what_each_stage_costs_and_keeps_the_files_only(dense: PlannerModel, boards: LocalBoards) -> None:
    one, two = boards.named[:2]
    stages = [(one.name, (0, 2)), (two.name, (2, _END))]
    found = run_in_loop(try_chain(dense, stages, records_of(one, two), SETTINGS))
    assert len(found) == 2
    for cost in found:
        assert 0 < cost.invoke_cpu_s < cost.cpu_s < 1
    assert found[1].invoke_cpu_s > found[0].invoke_cpu_s, "three layers against one"
    for board, ops in ((one, (0, 2)), (two, (2, _END))):
        assert trials_on(board) == []
        assert run_in_loop(missing(board, dense.segment(ops).sha256)) == set()


def test_trials_are_kept_one_by_one(dense: PlannerModel, boards: LocalBoards) -> None:
    one, two = boards.named[:2]
    records = records_of(one, two)
    chains = [[(one.name, (0, 2))], [(two.name, (0, 1)), (one.name, (1, 3))]]
    for trials in (1, 2):
        run_in_loop(try_chains(dense, chains, records, SETTINGS))
        assert {ops: len(costs) for ops, costs in records[one.name].in_service.items()} == {
            (0, 2): trials,
            (1, 3): trials,
        }
        assert [len(costs) for costs in records[two.name].in_service.values()] == [trials]


def test_stages_of_a_planned_chain_are_named(dense: PlannerModel) -> None:
    coarse = PlannerModel(dense.name, dense.graph, (0, 2, _END))
    assert stages_of(coarse, ["a", "b", "c"], Chain((2, 0), (0, 1, 2))) == [("c", (0, 2)), ("a", (2, _END))]


def test_threads_of_the_inventory_count(dense: PlannerModel, boards: LocalBoards) -> None:
    board = replace(boards.named[0], threads=2)
    (cost,) = run_in_loop(try_chain(dense, [(board.name, (2, 4))], records_of(board), SETTINGS))
    assert cost.cpu_s > 0


def test_stage_is_tried_with_the_delegate_of_the_inventory(dense: PlannerModel, boards: LocalBoards) -> None:
    board = replace(boards.named[0], delegate="npu")
    with pytest.raises(BoardRefusedError, match=f"{board.name}.* no delegate 'npu': expected one of none"):
        run_in_loop(try_chain(dense, [(board.name, (2, 4))], records_of(board), SETTINGS))
    assert trials_on(board) == []


def test_two_clients_try_the_same_stage_at_once(dense: PlannerModel, boards: LocalBoards) -> None:
    """The shorter trial is over, and unloaded, while the longer one still exchanges frames."""
    board = boards.named[0]

    async def both() -> list[list[ServiceCost]]:
        trials = (
            try_chain(dense, [(board.name, (2, 4))], records_of(board), replace(SETTINGS, budget_s=s))
            for s in (0.05, 0.5)
        )
        return await asyncio.gather(*trials)

    assert all(cost.cpu_s > 0 for (cost,) in run_in_loop(both()))
    assert trials_on(board) == []


def test_stage_that_the_board_refuses_to_load_is_an_error_and_leaves_nothing(
    dense: PlannerModel, boards: LocalBoards
) -> None:
    sound, board = boards.named[1], replace(boards.named[0], threads=10**6)
    stages = [(sound.name, (0, 2)), (board.name, (2, 4))]
    with pytest.raises(BoardRefusedError, match=r"board1: .*threads"):
        run_in_loop(try_chain(dense, stages, records_of(sound, board), SETTINGS))
    assert trials_on(board) == trials_on(sound) == []


def test_stage_that_fails_on_its_frames_is_an_error_and_leaves_nothing(boards: LocalBoards) -> None:
    model = PlannerModel("failing", Graph.from_bytes(failing_model()), (0, 1))
    with pytest.raises(ComputeFailedError, match="board1"):
        run_in_loop(try_chain(model, [("board1", (0, 1))], records_of(boards.named[0]), SETTINGS))
    assert trials_on(boards.named[0]) == []


@pytest.mark.parametrize("delay_s", [0.0, 0.01, 0.03, 0.1])
def test_trial_that_is_cancelled_leaves_nothing(dense: PlannerModel, boards: LocalBoards, delay_s: float) -> None:
    """Cancelled while it uploads, loads or exchanges frames."""
    one, two = boards.named[:2]

    async def cancel() -> None:
        records = await describe_boards([one, two], SETTINGS)
        stages = [(one.name, (0, 1)), (two.name, (1, _END))]
        trial = asyncio.ensure_future(try_chain(dense, stages, records, replace(SETTINGS, budget_s=60)))
        await asyncio.wait([trial], timeout=delay_s)
        trial.cancel()
        await asyncio.wait([trial])
        assert trial.done()

    run_in_loop(cancel())
    assert trials_on(one) == trials_on(two) == []

"""Costs add up as documented, and what makes no sense is refused."""

from __future__ import annotations

import numpy as np
import pytest

from partitioning.planning.cost_model import BoardCosts, LinkCosts, ModelCosts, build_problem, stage_bytes
from partitioning.planning.problem import PlanningError

MODEL = ModelCosts(
    resident_bytes=np.array([10.0, 20.0, 30.0, 40.0]),
    working_bytes=np.array([5.0, 1.0, 9.0, 2.0]),
    crossing_bytes=np.array([100.0, 50.0, 60.0, 70.0, 10.0]),
    positions=np.array([0, 1, 3, 4]),
)
LINKS = LinkCosts(np.full((3, 3), 1000.0), np.full((3, 3), 0.5))
OP_S = np.array([1.0, 2.0, 3.0, 4.0])


def test_memory_is_what_operators_keep_the_largest_working_set_and_the_frames_twice() -> None:
    needed = stage_bytes(MODEL)
    assert needed[0, 1] == 10 + 5 + 2 * (100 + 50)
    assert needed[1, 2] == 50 + 9 + 2 * (50 + 70)
    assert needed[0, 3] == 100 + 9 + 2 * (100 + 10)


def test_stage_time_is_overhead_operators_and_moving() -> None:
    board = BoardCosts("pi", OP_S, stage_overhead_s=0.1, move_s_per_byte=0.01)
    problem = build_problem(MODEL, [board, BoardCosts("idle", OP_S)], LINKS)
    assert problem.stage_s[0, 1, 2] == pytest.approx(0.1 + 5 + 0.01 * (50 + 70))
    assert problem.stage_s[1, 1, 2] == pytest.approx(5)
    assert np.isinf(problem.stage_s[0, 2, 1])
    assert problem.link_s[0, 1, 1] == pytest.approx(0.5 + 0.05)
    assert problem.crossing_bytes.tolist() == [100, 50, 70, 10]


def test_time_measured_whole_replaces_the_sum() -> None:
    board = BoardCosts("pi", OP_S, move_s_per_byte=0.01, measured_s={(1, 3): 4.5, (2, 3): 9.9})
    problem = build_problem(MODEL, [board], LinkCosts(np.ones((2, 2)), np.zeros((2, 2))))
    assert problem.stage_s[0, 1, 2] == pytest.approx(4.5 + 0.01 * 120)
    assert problem.stage_s[0, 0, 2] == pytest.approx(6 + 0.01 * 170)  # 2 is no position: (2, 3) has no place here


def test_stage_beyond_the_memory_is_impossible() -> None:
    board = BoardCosts("pi", OP_S, memory_bytes=stage_bytes(MODEL)[0, 2])
    stage_s = build_problem(MODEL, [board], LinkCosts(np.ones((2, 2)), np.zeros((2, 2)))).stage_s[0]
    assert np.isfinite(stage_s[0, 2])
    assert np.isinf(stage_s[0, 3]) == (stage_bytes(MODEL)[0, 3] > board.memory_bytes)


@pytest.mark.parametrize("positions", [[0, 4, 1], [0, 1], [1, 4], [0], [0, 1, 1, 4]])
def test_positions_that_do_not_cover_the_model_are_refused(positions: list[int]) -> None:
    with pytest.raises(PlanningError, match="expected to rise from 0 to 4"):
        ModelCosts(MODEL.resident_bytes, MODEL.working_bytes, MODEL.crossing_bytes, np.array(positions))


def test_sizes_that_do_not_fit_together_are_refused() -> None:
    with pytest.raises(PlanningError, match="crossing sizes"):
        ModelCosts(MODEL.resident_bytes, MODEL.working_bytes, MODEL.crossing_bytes[:-1], MODEL.positions)
    with pytest.raises(PlanningError, match="board pi has times of 3 operators"):
        build_problem(MODEL, [BoardCosts("pi", OP_S[:3])], LINKS)

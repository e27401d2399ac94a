"""Costs add up as documented, and what makes no sense is refused."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from partitioning.planning.cost_model import (
    RELAY_SHARE,
    BoardCosts,
    LinkCosts,
    MeasuredStage,
    ModelCosts,
    build_problem,
    stage_bytes,
)
from partitioning.planning.problem import PlanningError

MODEL = ModelCosts(crossing_bytes=np.array([100.0, 50.0, 60.0, 70.0, 10.0]), positions=np.array([0, 1, 3, 4]))
LINKS = LinkCosts(np.full((3, 3), 1000.0), np.full((3, 3), 0.5))
ONE_LINK = LinkCosts(np.ones((2, 2)), np.zeros((2, 2)))
BOARD = BoardCosts(
    "pi",
    op_s=np.array([1.0, 2.0, 3.0, 4.0]),
    op_cpu_s=np.array([1.5, 3.0, 4.5, 4.0]),
    resident_bytes=np.array([10.0, 20.0, 30.0, 40.0]),
    working_bytes=np.array([5.0, 1.0, 9.0, 2.0]),
    cores=2.0,
)
WHOLE = MeasuredStage(compute_s=4.5, compute_cpu_s=6.0, resident_bytes=35.0, working_bytes=20.0)


def test_memory_is_what_operators_keep_the_largest_working_set_and_the_frames_twice() -> None:
    needed = stage_bytes(MODEL, BOARD)
    assert needed[0, 1] == 10 + 5 + 2 * (100 + 50)
    assert needed[1, 2] == 50 + 9 + 2 * (50 + 70)
    assert needed[0, 3] == 100 + 9 + 2 * (100 + 10)


def test_memory_is_each_boards_own() -> None:
    other = replace(BOARD, resident_bytes=2 * BOARD.resident_bytes)
    assert stage_bytes(MODEL, other)[0, 1] == 20 + 5 + 2 * (100 + 50)


def test_stage_takes_the_time_of_computing_while_the_processor_has_some_to_spare() -> None:
    problem = build_problem(MODEL, [BOARD, replace(BOARD, frame_cpu_s=0.5, cores=4.0)], LINKS)
    assert problem.stage_s[0, 1, 2] == pytest.approx(5)  # (3 + 4.5) / 2 < 2 + 3
    assert problem.stage_s[1, 1, 2] == pytest.approx(5)
    assert np.isinf(problem.stage_s[0, 2, 1])
    assert problem.link_s[0, 1, 1] == pytest.approx(
        0.5 + 0.05 + 0.01
    )  # the answer's 10 bytes leave by the same interface
    assert problem.crossing_bytes.tolist() == [100, 50, 70, 10]


def test_stage_takes_the_processors_time_for_computing_and_moving_where_that_is_more() -> None:
    # A share of a frame's fixed cost, and 10 bytes in and out, for each answer of the boards behind; none on the last board.
    relay_cpu_s = RELAY_SHARE * 0.5 + 10 * (0.1 + 0.2)
    board = replace(BOARD, cores=1.0, frame_cpu_s=0.5, receive_cpu_s_per_byte=0.1, send_cpu_s_per_byte=0.2)
    stage_s = build_problem(MODEL, [board], ONE_LINK).stage_s[0]
    assert stage_s[1, 2] == pytest.approx(3 + 4.5 + 0.5 + 0.1 * 50 + 0.2 * 70 + relay_cpu_s)
    assert stage_s[2, 3] == pytest.approx(4 + 0.5 + 0.1 * 70 + 0.2 * 10)
    # A board under a quota of a fifth of a core computes for as long as its share lasts.
    stage_s = build_problem(MODEL, [replace(BOARD, cores=0.2)], ONE_LINK).stage_s[0]
    assert stage_s[1, 2] == pytest.approx((3 + 4.5) / 0.2)


def test_stage_is_no_faster_than_the_one_thread_that_moves_its_frames() -> None:
    board = replace(BOARD, frame_cpu_s=20.0, cores=16.0)
    assert build_problem(MODEL, [board], ONE_LINK).stage_s[0, 1, 2] == pytest.approx(20 + RELAY_SHARE * 20)


def test_stage_measured_whole_replaces_the_sums() -> None:
    relay_cpu_s = RELAY_SHARE * 1.0 + 10 * 0.1
    board = replace(BOARD, cores=1.0, frame_cpu_s=1.0, send_cpu_s_per_byte=0.1, measured={(1, 3): WHOLE, (2, 3): WHOLE})
    stage_s = build_problem(MODEL, [board], ONE_LINK).stage_s[0]
    assert stage_s[1, 2] == pytest.approx(6 + 1 + 0.1 * 70 + relay_cpu_s)
    assert build_problem(MODEL, [replace(BOARD, measured={(1, 3): WHOLE})], ONE_LINK).stage_s[0, 1, 2] == 4.5
    # 2 is no position, so (2, 3) has no place here; nor do the neighbours change.
    assert stage_s[0, 2] == pytest.approx(1.5 + 3 + 4.5 + 1 + 0.1 * 70 + relay_cpu_s)
    needed = stage_bytes(MODEL, board)
    assert needed[1, 2] == 35 + 20 + 2 * (50 + 70)
    assert needed[0, 2] == 60 + 9 + 2 * (100 + 70)


def test_answers_go_back_through_every_board_and_share_its_links() -> None:
    # Three machines, the dispatcher last; the way from board 1 back to board 0 is slow, and the answer of 10 bytes takes it.
    bytes_per_s = np.full((3, 3), 100.0)
    bytes_per_s[1, 0] = 1.0
    bytes_per_s[0, 2] = 2.0
    links = LinkCosts(bytes_per_s, np.zeros((3, 3)), np.full((3, 3), 0.25))
    problem = build_problem(MODEL, [BOARD, BOARD], links)
    assert problem.link_s[0, 1, 1] == pytest.approx(10)  # the answer's way back; the frame with an answer takes 0.6
    assert problem.link_s[1, 0, 1] == pytest.approx((50 + 10) / 1)
    assert problem.link_s[2, 0, 0] == pytest.approx(10 / 2)  # the answer takes longer than the input of 100 bytes
    assert problem.link_s[2, 1, 0] == pytest.approx(1)
    assert problem.link_s[0, 2, 3] == problem.link_s[1, 2, 3] == 0
    assert problem.delay_s is not None
    assert problem.delay_s[0, 1] == pytest.approx(0.5)
    assert problem.delay_s[2, 0] == pytest.approx(0.5 + 1)  # one frame alone waits for input and answer
    assert problem.delay_s[0, 2] == 0


def test_joules_are_sums_or_measured_whole() -> None:
    op_joules = np.array([1.0, 1.0, 2.0, 3.0])
    sensed = replace(BOARD, op_joules=op_joules, measured={(1, 3): replace(WHOLE, joules=2.5), (0, 1): WHOLE})
    stage_j = build_problem(MODEL, [sensed], ONE_LINK).stage_j
    assert stage_j is not None
    assert stage_j[0, 1, 2] == 2.5
    assert stage_j[0, 0, 1] == 1  # measured whole without joules
    assert stage_j[0, 0, 3] == 7
    assert build_problem(MODEL, [sensed, BOARD], LINKS).stage_j is None


def test_stage_beyond_the_memory_is_impossible() -> None:
    board = BOARD.with_memory(stage_bytes(MODEL, BOARD)[0, 2])
    stage_s = build_problem(MODEL, [board], ONE_LINK).stage_s[0]
    assert np.isfinite(stage_s[0, 2])
    assert np.isinf(stage_s[0, 3]) == (stage_bytes(MODEL, BOARD)[0, 3] > board.memory_bytes)


@pytest.mark.parametrize("positions", [[0, 4, 1], [0, 1], [1, 4], [0], [0, 1, 1, 4]])
def test_positions_that_do_not_cover_the_model_are_refused(positions: list[int]) -> None:
    with pytest.raises(PlanningError, match="expected to rise from 0 to 4"):
        ModelCosts(MODEL.crossing_bytes, np.array(positions))


@pytest.mark.parametrize("name", ["op_s", "op_cpu_s", "resident_bytes", "working_bytes", "op_joules"])
def test_sizes_that_do_not_fit_together_are_refused(name: str) -> None:
    wrong: dict[str, Any] = {name: np.ones(3)}
    board = replace(BOARD, **wrong)
    with pytest.raises(PlanningError, match=f"board pi has {name} of 3 operators, the model has 4"):
        build_problem(MODEL, [board], LINKS)


def test_boards_without_a_processor_and_links_without_speed_are_refused() -> None:
    with pytest.raises(PlanningError, match="board pi gives 0"):
        replace(BOARD, cores=0.0)
    for links in ((np.zeros((2, 2)), np.zeros((2, 2))), (np.ones((2, 2)), np.full((2, 2), np.inf))):
        with pytest.raises(PlanningError, match="for every pair"):
            LinkCosts(*links)

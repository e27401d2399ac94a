"""What groups take for stages: bounded from below, more than a bound only by what was planned, and within every board's memory."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from partitioning.planning import stage_bytes
from partitioning.strips.search import SegmentSearch
from planner import group_stages
from planner.model import PlannerModel
from tests.planner.made_up_groups import Fleet, zoo_model

PAIRS = [(0, 2), (1, 3), (0, 3)]


@pytest.fixture(scope="module")
def model() -> PlannerModel:
    return zoo_model()


def test_board_alone_takes_what_it_takes_in_every_other_plan(model: PlannerModel) -> None:
    groups = Fleet(model, {"a": 0.1, "b": 0.2}).groups
    for board in (0, 1):
        assert (groups.at_least_s((board, board + 1)) == groups.problem.stage_s[board]).all()
        assert (groups.take_s((board, board + 1), 1) == groups.problem.stage_s[board, 1]).all()


@pytest.mark.parametrize("mbit_s", [0.001, 1e5])
def test_no_stage_takes_less_than_its_bound_or_more_than_its_leader_alone(model: PlannerModel, mbit_s: float) -> None:
    groups = Fleet(model, {"a": 0.1, "b": 0.2, "c": 0.1}, mbit_s).groups
    shorter = 0
    for group in PAIRS:
        bounds = groups.at_least_s(group)
        for position in range(groups.problem.end):
            taken = groups.take_s(group, position)
            stages = np.isfinite(taken)
            assert (stages == np.isfinite(bounds[position])).all()
            assert stages.sum() == groups.problem.end - position
            assert (taken[stages] >= bounds[position][stages]).all()
            # Moving does not overlap with a group's computing, as it may with a board's.
            moving_s = 0.01
            assert (taken[stages] <= groups.problem.stage_s[group[0], position][stages] + moving_s).all()
            shorter += int((taken[stages] < 0.7 * groups.problem.stage_s[group[0], position][stages]).sum())
    assert (shorter > 0) == (mbit_s > 1)


def test_plan_of_a_stage_is_what_was_found_out_or_better(model: PlannerModel) -> None:
    groups = Fleet(model, {"a": 0.1, "b": 0.1, "c": 0.1}).groups
    for group, (i, j) in itertools.product(PAIRS, [(0, groups.problem.end), (1, 4), (2, groups.problem.end)]):
        shared, stage_s = groups.plan(group, i, j)
        ops = model.positions[i], model.positions[j]
        assert (shared.segments[0].start_op, shared.segments[-1].stop_op) == ops
        assert len(shared.segments[0].shares) == group[1] - group[0]
        assert groups.at_least_s(group)[i, j] <= stage_s <= 1.02 * groups.take_s(group, i)[j]


def test_every_board_of_a_group_needs_the_memory_of_its_stage(model: PlannerModel) -> None:
    free = Fleet(model, {"a": 0.1, "b": 0.1, "c": 0.1})
    needed = stage_bytes(free.costs.model, free.costs.boards[1])[0, -1]
    groups = Fleet(model, {"a": 0.1, "b": 0.1, "c": 0.1}, b=int(needed) - 1).groups
    end = groups.problem.end
    assert np.isinf(groups.at_least_s((0, 2))[0, end])
    assert np.isinf(groups.take_s((0, 2), 0)[end])
    assert np.isfinite(groups.take_s((0, 2), 0)[1])
    assert np.isfinite(groups.take_s((0, 1), 0)[end])


def test_groups_of_boards_alike_are_searched_once(monkeypatch: pytest.MonkeyPatch, model: PlannerModel) -> None:
    made: list[Any] = []

    class Counted(SegmentSearch):
        def __init__(self, *arguments: Any) -> None:
            made.append(arguments)
            super().__init__(*arguments)

    monkeypatch.setattr(group_stages, "SegmentSearch", Counted)
    groups = Fleet(model, {"a": 0.1, "b": 0.1, "c": 0.1, "d": 0.3}).groups
    first, second = groups.take_s((0, 2), 2), groups.take_s((1, 3), 2)
    assert (first == second).all()
    assert len(made) == 1
    assert (groups.take_s((2, 4), 2)[3:] != first[3:]).any()
    assert len(made) == 2

"""What groups of boards take for stages of a chain, from what was measured of operators, of their parts and of links."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np

from partitioning.planning import ChainProblem, build_problem, stage_bytes
from partitioning.planning.group_search import Group, LeaderLinks
from partitioning.planning.problem import FloatArray
from partitioning.strips.bounds import least_compute_s
from partitioning.strips.costs import BoardTimes
from partitioning.strips.search import SegmentSearch, SharedPlan, plan_shared
from planner.costs import FleetCosts
from planner.model import PlannerModel
from planner.shared_plan import group_links, message_cost
from planner.strip_times import StripModel


class MeasuredGroups:
    """The planner's `GroupStages`: a board alone as in every other plan, and for more the seconds of

        stage(group, i, j) = frame(group, i, j) + what moving frames costs the leader

    since a group works on one frame at a time. frame is that of the best segments for shares in proportion to the boards'
    speed, exchanging and computing in turn; `plan` follows a chosen stage event by event, and sets shares anew. Every board of a
    group needs the memory of the whole stage: boards that share rows each have all weights.

    Args:
        costs: of the boards in their order, with delays of links.
        times: theirs, of operators and their parts.
    """

    def __init__(self, model: PlannerModel, strips: StripModel, costs: FleetCosts, times: Sequence[BoardTimes]) -> None:
        self.costs = costs
        self.problem: ChainProblem = build_problem(costs.model, costs.boards, costs.links)
        self._model, self._strips = model, strips
        n = self.problem.n_boards
        messages = [
            message_cost(board.frame_cpu_s, board.receive_cpu_s_per_byte, board.send_cpu_s_per_byte, board.cores)
            for board in costs.boards
        ]
        assert costs.links.delay_s is not None
        self._links = group_links(costs.links.delay_s[:n, :n], costs.links.bytes_per_s[:n, :n], messages)
        self._times = [replace(of_board, message=message) for of_board, message in zip(times, messages)]
        self._moving_s = _moving_s(costs)
        self._fits = np.array([stage_bytes(costs.model, board) <= board.memory_bytes for board in costs.boards])
        # Of boards alike one stands for all: groups of the same kinds in the same order take the same.
        self._kinds = [_kind(of_board) for of_board in self._times]
        self._searches: dict[Any, SegmentSearch] = {}
        self._taken: dict[Any, FloatArray] = {}
        self._bound_s = cache(self._sum_of_bounds_s)

    @property
    def leader_links(self) -> LeaderLinks:
        """Between stages, groups have their leaders' links."""
        return LeaderLinks(self.problem.link_s, self.problem.passing_s)

    def at_least_s(self, group: Group) -> FloatArray:
        """(n_positions, n_positions), see `GroupStages`."""
        leader, stop = group
        alone_s: FloatArray = self.problem.stage_s[leader]
        if stop - leader == 1:
            return alone_s
        least_s = self._bound_s(group) + self._moving_s[leader]
        n_positions = len(least_s)
        possible = self._fits[leader:stop].all(axis=0) & np.triu(np.ones((n_positions, n_positions), dtype=bool), 1)
        bounds: FloatArray = np.where(possible, least_s, np.inf)
        return bounds

    def take_s(self, group: Group, position: int) -> FloatArray:
        """(n_positions,), see `GroupStages`."""
        leader, stop = group
        bounds: FloatArray = self.at_least_s(group)[position]
        if stop - leader == 1:
            return bounds
        taken: FloatArray = np.where(
            np.isfinite(bounds), self._frame_s(group, position) + self._moving_s[leader, position], np.inf
        )
        return taken

    def plan(self, group: Group, i: int, j: int) -> tuple[SharedPlan, float]:
        """How a group of two boards or more does a stage, and the seconds that the stage takes then."""
        boards = slice(*group)
        ops = self._model.positions[i], self._model.positions[j]
        found = plan_shared(
            self._model.graph, self._times[boards], self._links.among(boards), self._strips.places[1:-1], ops
        )
        return found, found.time.latency_s + float(self._moving_s[group[0], i, j])

    def _frame_s(self, group: Group, position: int) -> FloatArray:
        """(n_positions,) seconds from one position to each; inf where that is no stage."""
        boards = slice(*group)
        links = self._links.among(boards)
        kind = (*self._kinds[boards], links.latency_s.tobytes(), links.s_per_byte.tobytes())
        if kind not in self._searches:
            self._searches[kind] = SegmentSearch(self._model.graph, self._times[boards], links, self._strips.places)
        if (kind, position) not in self._taken:
            speeds = [1 / float(of_board.whole_s.sum()) for of_board in self._times[boards]]
            first, *stops = self._model.positions[position:]
            seconds = np.full(len(self._model.positions), np.inf)
            seconds[position + 1 :] = self._searches[kind].least_s(speeds, first, stops)
            self._taken[kind, position] = seconds
        return self._taken[kind, position]

    def _sum_of_bounds_s(self, group: Group) -> FloatArray:
        times = self._times[slice(*group)]
        done_s = np.concatenate([[0.0], np.cumsum(least_compute_s(self._model.graph, times))])[
            list(self._model.positions)
        ]
        between: FloatArray = done_s[None, :] - done_s[:, None] + min(of_board.strip_s for of_board in times)
        return between


def _moving_s(costs: FleetCosts) -> FloatArray:
    """(n_boards, n_positions, n_positions) what a stage takes of a board that computes nothing."""
    idle = [
        replace(b, op_s=0 * b.op_s, op_cpu_s=0 * b.op_cpu_s, measured={}, memory_bytes=np.inf) for b in costs.boards
    ]
    return build_problem(costs.model, idle, costs.links).stage_s


def _kind(times: BoardTimes) -> Any:
    """Equal for boards that take the same."""
    shared = tuple((key, of_op.seconds.tobytes()) for key, of_op in times.shared.items())
    return times.whole_s.tobytes(), shared, times.strip_s, times.message

"""The best chain, exactly, for every selection of boards at once."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from partitioning.planning.board_types import count_selections, group_boards
from partitioning.planning.judge import Chain, Objective, relevant_costs
from partitioning.planning.pins import kinds_by_part
from partitioning.planning.problem import ChainProblem, FloatArray, InfeasiblePlanError, PlanningError
from partitioning.planning.step_costs import StepCosts, pairs_by_type, seconds_by_type

Array = np.ndarray[Any, Any]
_Combine = Callable[[Array, Array], Array]

# Every step that is possible at all takes less.
_ANY_S = sys.float_info.max
# So much of the table is worked on at a time. Measured: 13 unlike boards and 100 cuts took 270 MB and 1.3 s instead of 1 GB
# and 2.5 s for each layer at once; half of it costs 500 cuts with few selections a tenth more, twice as much gains nothing.
_BLOCK_CELLS = 2**19


@dataclass
class ChainSearch:
    """Searches all chains: any cuts, any boards in any order, any left out.

        T[u, t, j] = min over s, i < j of T[u - t, s, i] + link(s, t, i) + stage(t, i, j)

    u counts the boards in use by type, t is the type of the last one, s that of the one before it, j the position reached.
    Interchangeable boards are counted, not told apart, so 16 boards of 4 types have 625 selections and not 65,536.

    Costs are pairs in lexicographic order: (seconds, bytes) or, where the least energy is wanted, (joules, seconds). The
    greatest throughput takes two runs of the recurrence: one with max in place of + gives the least slowest step, the
    next adds pairs over the steps no slower than that.

    A pinned board is a type of its own, which its part of the chain must have and no other can. Every chain has them all, so
    u leaves them out; which parts came before follows from u and t.

    Cost: O(selections x types^2 x positions) for links and O(selections x types x positions^2) for stages, in numpy;
    dense costs, so stages measured as a whole need no sums to hold.
    Source: PipeEdge (Hu et al., 2022) counts by type likewise; unlike it, costs are looked up by a board of the type and
    never by the type's number taken as a board, links may be pairwise, and all selections are kept.

    Attributes:
        max_boards: the most boards in use; None for all.
        pins: part of the chain -> the board that computes it and nothing else; the chain has that part.
        types: boards by type.
        selections: (n_selections, n_types) boards in use by type, the pinned ones not counted.
        n_parts: (n_selections,) boards in use, the pinned ones counted.
    Raises: PlanningError: pins that no chain can have; fewer than one board; the least energy, and joules are not known.
    """

    problem: ChainProblem
    max_boards: int | None = None
    objective: Objective = Objective.THROUGHPUT
    pins: Mapping[int, int] = field(default_factory=dict)
    _kept: tuple[float, Array, StepCosts, Array] | None = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        problem = relevant_costs(self.problem, self.objective)
        if self.max_boards is not None and self.max_boards < 1:
            raise PlanningError(f"at most {self.max_boards} boards may be used, expected 1 or more.")
        self.types = group_boards(problem, apart=self.pins.values())
        most_parts = min(self.max_boards or problem.n_boards, problem.n_boards, problem.end)
        self._can_have = kinds_by_part(self.pins, self.types, problem.n_boards, most_parts)
        pinned = np.array([members[0] in self.pins.values() for members in self.types])
        self.counts = np.where(pinned, 0, [len(members) for members in self.types])
        strides = np.cumprod([1, *(self.counts + 1)])[:-1]
        n_selections = count_selections(self.types, self.pins.values())
        self.selections = np.arange(n_selections)[:, None] // strides % (self.counts + 1)
        self.n_parts = self.selections.sum(axis=1) + len(self.pins)
        self._strides = np.where(pinned, 0, strides)  # how far back the selection without one board of a type is
        self._has = pinned | (self.selections > 0)
        self._seconds = seconds_by_type(problem, self.types)

    @cached_property
    def bottleneck_s(self) -> FloatArray:
        """(n_selections,) slowest step of the fastest chain that uses exactly a selection; inf if there is none."""
        everything = np.full(len(self.selections), True)
        reached = self._run(np.maximum, self._seconds, everything)
        slowest_s: FloatArray = self._finished(np.maximum, reached, self._seconds).min(axis=1)
        return slowest_s

    def best(self, selection: int | None = None, *, least_boards: int = 1, most_boards: int | None = None) -> Chain:
        """The best chain by the objective: over all selections, or for one, or with so many boards.

        Raises: InfeasiblePlanError: there is none.
        """
        n_boards = self.problem.n_boards
        wanted = (self.n_parts >= least_boards) & (self.n_parts <= (n_boards if most_boards is None else most_boards))
        if selection is not None:
            wanted &= np.arange(len(wanted)) == selection
        limit_s = _ANY_S
        if self.objective is Objective.THROUGHPUT:
            limit_s = float(self.bottleneck_s[wanted].min(initial=_ANY_S))
        pairs, reached = self._added(limit_s, self._within_any(wanted))
        totals = np.where(wanted[:, None], self._finished(np.add, reached, pairs), np.inf)
        # Complex numbers are ordered by real part and then imaginary part, here and in every min.
        row, t = (int(n) for n in np.unravel_index(np.argmin(totals), totals.shape))
        if not np.isfinite(totals[row, t]):
            raise InfeasiblePlanError(
                "no chain of these boards can hold the model as asked: every cut leaves a stage too big for its board."
            )
        return self._trace(reached, pairs, row, t)

    def selections_within(self, whole: int) -> Array:
        """All selections of boards among those of a selection, but for the empty one."""
        within = np.zeros(1, np.int64)
        for count, stride in zip(self.selections[whole], self._strides):
            if count:
                within = (np.arange(count + 1)[:, None] * stride + within).ravel()
        return within[1:]

    def _added(self, limit_s: float, passed: Array) -> tuple[StepCosts, Array]:
        """Pairs of costs of the steps within a limit, and the table of their sums for the selections marked, or for more.

        The last such table is kept: the best chain with fewer boards than the best of all is often in it.
        """
        if self._kept is None or self._kept[0] != limit_s or (passed & ~self._kept[1]).any():
            pairs = pairs_by_type(self.problem, self.types, self.objective, limit_s)
            self._kept = limit_s, passed, pairs, self._run(np.add, pairs, passed)
        return self._kept[2:]

    def _within_any(self, wanted: Array) -> Array:
        """(n_selections,) bool: the selections that a chain passes on its way to a wanted one."""
        passed = wanted.reshape(self.counts[self.counts > 0][::-1] + 1)
        for axis in range(passed.ndim):
            passed = np.flip(np.logical_or.accumulate(np.flip(passed, axis), axis=axis), axis)
        return passed.ravel()

    def _run(self, combine: _Combine, steps: StepCosts, passed: Array) -> Array:
        """The recurrence over the selections marked: `combine` joins costs along a chain, the least is kept.

        Returns: (n_selections, n_types, n_positions) the least cost of a chain that ends with a type at a position.
        """
        n_types, n_positions = steps.stage.shape[0], steps.stage.shape[2]
        reached = np.full((len(self.selections), n_types, n_positions), np.inf, np.result_type(*steps))
        windows = _windows(steps.stage)
        block = max(1, _BLOCK_CELLS // (n_types * n_positions))
        for part, can_have in enumerate(self._can_have):
            n_free = part + 1 - sum(pinned <= part for pinned in self.pins)
            counted = passed & (self.n_parts == n_free + len(self.pins))
            rows, kinds = np.nonzero(counted[:, None] & self._has & can_have)
            for start in range(0, len(rows), block):
                some, of = rows[start : start + block], kinds[start : start + block]
                arrived = self._arrived(combine, reached, steps, part, some, of)
                reached[some, of] = _left(combine, arrived, steps.stage, of, windows)
        return reached

    def _arrived(
        self, combine: _Combine, reached: Array, steps: StepCosts, part: int, rows: Array, kinds: Array
    ) -> Array:
        """(n_rows, n_positions) the least cost at which positions come to a board of these kinds as a part of the chain."""
        if part == 0:
            arrived = np.full((len(rows), reached.shape[2]), np.inf, reached.dtype)
            arrived[:, 0] = steps.first[kinds]
            return arrived
        senders = np.flatnonzero(self._can_have[part - 1])
        before = reached[np.ix_(rows - self._strides[kinds], senders)]
        by_receiver = np.swapaxes(steps.link, 0, 1)  # (receiver, sender, position)
        least: Array = combine(before, by_receiver[np.ix_(kinds, senders)]).min(axis=1)
        return least

    def _finished(self, combine: _Combine, reached: Array, steps: StepCosts) -> Array:
        """(n_selections, n_types) costs of whole chains by their last board's type; inf where a pinned part is missing."""
        whole = combine(reached[:, :, self.problem.end], steps.last)
        last_part = np.clip(self.n_parts - 1, 0, len(self._can_have) - 1)
        complete = (self.n_parts > max(self.pins, default=-1))[:, None] & self._can_have[last_part]
        return np.where(complete, whole, np.inf)

    def _trace(self, reached: Array, steps: StepCosts, selection: int, t: int) -> Chain:
        """Walks back from the end over the choices that gave the optimum."""
        position = self.problem.end
        kinds, positions = [t], [position]
        for part in range(self.n_parts[selection] - 1, 0, -1):
            selection -= int(self._strides[t])
            candidates = reached[selection] + steps.link[:, t] + steps.stage[t, :, position]  # (n_types, n_positions)
            candidates[~self._can_have[part - 1]] = np.inf
            t, position = (int(n) for n in np.unravel_index(np.argmin(candidates), candidates.shape))
            kinds.append(t)
            positions.append(position)
        free = [list(members) for members in self.types]
        boards = tuple(free[kind].pop(0) for kind in reversed(kinds))
        return Chain(boards, (0, *reversed(positions)))


def _left(combine: _Combine, arrived: Array, stage: Array, kinds: Array, windows: tuple[Array, Array]) -> Array:
    """(n_rows, n_positions) the least cost at which boards of these kinds are done with what arrived."""
    begins, ends = windows
    left = np.full_like(arrived, np.inf)
    alive = np.isfinite(arrived)
    for i in np.flatnonzero(alive.any(axis=0) & (ends > begins)):
        live = np.flatnonzero(alive[:, i])
        window = slice(begins[i], ends[i])
        offered = combine(arrived[live, i, None], stage[kinds[live], i, window])
        left[live, window] = np.minimum(left[live, window], offered)
    return left


def _windows(stage: Array) -> tuple[Array, Array]:
    """For each beginning, the range of ends that some board can reach from there."""
    possible: Array = np.any(np.isfinite(stage), axis=0)  # (n_positions, n_positions)
    begins = np.where(possible.any(axis=1), possible.argmax(axis=1), 0)
    ends = np.where(possible.any(axis=1), possible.shape[1] - possible[:, ::-1].argmax(axis=1), 0)
    return begins, ends

"""The best chain, exactly, for every selection of boards at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from partitioning.planning.board_types import group_boards
from partitioning.planning.judge import Chain
from partitioning.planning.problem import ChainProblem, FloatArray, InfeasiblePlanError

Array = np.ndarray[Any, Any]
# (n_selections, n_types, n_positions): the best cost of a chain that ends with a type at a position.
_Combine = Callable[[Array, Array], Array]


@dataclass
class ChainSearch:
    """Searches all chains: any cuts, any boards in any order, any left out.

        T[u, t, j] = min over s, i < j of max(T[u - t, s, i], link(s, t, i), stage(t, i, j))

    u counts the boards in use by type, t is the type of the last one, s that of the one before it, j the position reached.
    Interchangeable boards are counted, not told apart, so 16 boards of 4 types have 625 selections and not 65,536. Ties in
    the slowest step are broken by a second run of the same recurrence that adds instead of taking the maximum, over steps
    no slower than the optimum, on pairs (latency, bytes) in lexicographic order.

    Cost: O(selections x types^2 x positions) for links and O(selections x types x positions^2) for stages, in numpy;
    dense costs, so stages measured as a whole need no sums to hold.
    Source: PipeEdge (Hu et al., 2022) counts by type likewise; unlike it, costs are looked up by a board of the type and
    never by the type's number taken as a board, links may be pairwise, and all selections are kept.
    """

    problem: ChainProblem
    max_boards: int | None = None
    bottleneck_s: FloatArray = field(init=False, repr=False)

    def __post_init__(self) -> None:
        problem = self.problem
        self.types = group_boards(problem)
        self.counts = np.array([len(members) for members in self.types])
        self._strides = np.concatenate([[1], np.cumprod(self.counts + 1)[:-1]])
        n_selections = int(np.prod(self.counts + 1))
        self.selections = (
            np.arange(n_selections)[:, None] // self._strides % (self.counts + 1)
        )  # (n_selections, n_types)
        representatives = [members[0] for members in self.types]
        self._stage = problem.stage_s[representatives]
        self._link = self._type_links()
        self._first = problem.link_s[problem.dispatcher, representatives, 0]
        self._last = problem.link_s[representatives, problem.dispatcher, problem.end]
        everything = np.full(n_selections, True)
        reached = self._run(np.maximum, self._stage, self._link, self._first, everything)
        # Of the chains that use exactly a selection, the fastest: (n_selections,) seconds, inf if there is none.
        self.bottleneck_s = np.maximum(reached[:, :, problem.end], self._last).min(axis=1)

    def best(self, selection: int | None = None) -> Chain:
        """The chain with the least slowest step, then latency, then bytes; over all selections, or for one.

        Raises: InfeasiblePlanError: there is none.
        """
        wanted = np.arange(len(self.selections)) if selection is None else np.array([selection])
        limit_s = float(self.bottleneck_s[wanted].min())
        if not np.isfinite(limit_s):
            raise InfeasiblePlanError(
                "no chain of these boards can hold the model: every cut leaves a stage too big for its board."
            )
        return self._cheapest(wanted, limit_s)

    def _cheapest(self, wanted: Array, limit_s: float) -> Chain:
        """The chain of least (latency, bytes) among those whose steps all take limit_s at most."""
        problem = self.problem
        stage = _within(self._stage, limit_s)
        link = _within(self._link, limit_s) + 1j * problem.crossing_bytes
        first = _within(self._first, limit_s) + 1j * problem.crossing_bytes[0]
        last = _within(self._last, limit_s) + 1j * problem.crossing_bytes[problem.end]
        passed = (self.selections[:, None] <= self.selections[wanted]).all(axis=2).any(axis=1)
        reached = self._run(np.add, stage.astype(complex), link, first, passed)
        totals = reached[wanted][:, :, problem.end] + last  # (n_wanted, n_types)
        row, t = np.unravel_index(_argmin(totals), totals.shape)
        return self._trace(reached, stage, link, int(wanted[row]), int(t))

    def _trace(self, reached: Array, stage: Array, link: Array, selection: int, t: int) -> Chain:
        """Walks back from the end over the choices that gave the optimum."""
        position = self.problem.end
        kinds, positions = [t], [position]
        while self.selections[selection].sum() > 1:
            before = selection - int(self._strides[t])
            candidates = reached[before] + link[:, t] + stage[t, :, position]  # (n_types, n_positions)
            s, position = (int(n) for n in np.unravel_index(_argmin(candidates), candidates.shape))
            selection, t = before, s
            kinds.append(t)
            positions.append(position)
        free = [list(members) for members in self.types]
        boards = tuple(free[kind].pop(0) for kind in reversed(kinds))
        return Chain(boards, (0, *reversed(positions)))

    def _run(self, combine: _Combine, stage: Array, link: Array, first: Array, selections: Array) -> Array:
        """The recurrence over the selections marked: `combine` joins costs along a chain, the least is kept."""
        n_types, n_positions = stage.shape[0], stage.shape[2]
        dtype = np.result_type(stage, link, first)
        reached = np.full((len(self.selections), n_types, n_positions), np.inf, dtype)
        begins, ends = _windows(stage)
        used = self.selections.sum(axis=1)
        by_receiver = np.swapaxes(link, 0, 1)  # (receiver, sender, position)
        for n_used in range(1, (self.max_boards or int(self.counts.sum())) + 1):
            rows, kinds = np.nonzero((selections & (used == n_used))[:, None] & (self.selections > 0))
            if len(rows) == 0:
                break
            if n_used == 1:
                arrived = np.full((len(rows), n_positions), np.inf, dtype)
                arrived[:, 0] = first[kinds]
            else:
                arrived = combine(reached[rows - self._strides[kinds]], by_receiver[kinds]).min(axis=1)
            left = np.full_like(arrived, np.inf)
            alive = np.isfinite(arrived)
            for i in np.flatnonzero(alive.any(axis=0) & (ends > begins)):
                live = np.flatnonzero(alive[:, i])
                window = slice(begins[i], ends[i])
                offered = combine(arrived[live, i, None], stage[kinds[live], i, window])
                left[live, window] = np.minimum(left[live, window], offered)
            reached[rows, kinds] = left
        return reached

    def _type_links(self) -> FloatArray:
        """(sender type, receiver type, position) seconds; within a type, between two of its boards."""
        n_types = len(self.types)
        links = np.full((n_types, n_types, self.problem.end + 1), np.inf)
        for s, senders in enumerate(self.types):
            for t, receivers in enumerate(self.types):
                if s != t:
                    links[s, t] = self.problem.link_s[senders[0], receivers[0]]
                elif len(senders) > 1:
                    links[s, t] = self.problem.link_s[senders[0], senders[1]]
        return links


def _within(cost_s: FloatArray, limit_s: float) -> FloatArray:
    return np.where(cost_s <= limit_s, cost_s, np.inf)


def _windows(stage: Array) -> tuple[Array, Array]:
    """For each beginning, the range of ends that some board can reach from there."""
    possible: Array = np.any(np.isfinite(stage), axis=0)  # (n_positions, n_positions)
    begins = np.where(possible.any(axis=1), possible.argmax(axis=1), 0)
    ends = np.where(possible.any(axis=1), possible.shape[1] - possible[:, ::-1].argmax(axis=1), 0)
    return begins, ends


def _argmin(values: Array) -> int:
    """The flat index of the least; of complex numbers, by real part and then imaginary part, as numpy orders them."""
    return int(np.argmin(values))

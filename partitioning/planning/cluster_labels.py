"""Partial chains of a cluster, extended position by position: exact while they are few, a beam search when they are not."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from partitioning.planning.cluster_graph import StepGraph
from partitioning.planning.cluster_prices import ROUNDING
from partitioning.planning.cluster_walks import CheapestWalks
from partitioning.planning.judge import Chain
from partitioning.planning.problem import FloatArray

Array = np.ndarray[Any, Any]
_NOBODY = -1
_WORD_BITS = 64
# Waiting labels kept per place in the beam: enough that dominated ones among them do not leave places empty.
_WAITING = 6
# Labels that are compared with all others of their board: the cheapest dominate most.
_DOMINATORS = 256


@dataclass(frozen=True)
class _Labels:
    """Partial chains that have computed up to one position, in parallel arrays.

    Attributes:
        parent: (n,) label without the last board, -1 for chains of one board.
        board: (n,) last board.
        n_used: (n,) boards so far.
        spent: (n,) the sum of their prices.
        bound: (n,) the least that any chain spends that begins so.
        used: (n, n_words) uint64, a bit per board.
    """

    parent: Array
    board: Array
    n_used: Array
    spent: Array
    bound: Array
    used: Array

    def __len__(self) -> int:
        return len(self.parent)

    def take(self, chosen: Array) -> _Labels:
        """Those at these indices."""
        return _Labels(*(getattr(self, f.name)[chosen] for f in fields(self)))

    @staticmethod
    def joined(several: Sequence[_Labels]) -> _Labels:
        """All of them."""
        return _Labels(*(np.concatenate([getattr(x, f.name) for x in several]) for f in fields(_Labels)))


class LabelSearch:
    """One decision: is there a chain in the graph?

    A label is dropped if it cannot be completed within the budget that all chains keep (see `price_boards`), or if another
    one with the same board and position has used none but boards that it has used too. What remains is complete, so if
    nothing remains there is no chain; beyond `width` labels a position, the cheapest are kept and only a chain is proof.
    Source: labelling with completion bounds for elementary paths (Feillet et al. 2004; Boland et al. 2006).
    """

    def __init__(
        self,
        graph: StepGraph,
        walks: CheapestWalks,
        visit_price: FloatArray,
        *,
        max_boards: int,
        predecessor: Array,
        width: int,
        has_expired: Callable[[], bool],
    ) -> None:
        """predecessor: (n_boards,) the board alike that must be used before this one, -1 if none; saves symmetric work."""
        self._graph, self._walks, self._price = graph, walks, visit_price
        self._max_boards, self._width, self._has_expired = max_boards, width, has_expired
        boards = np.arange(graph.n_boards)
        self._bits = np.zeros((graph.n_boards, -(-graph.n_boards // _WORD_BITS)), np.uint64)
        self._bits[boards, boards // _WORD_BITS] = np.uint64(1) << (boards % _WORD_BITS).astype(np.uint64)
        self._needed = np.where(predecessor[:, None] == _NOBODY, np.uint64(0), self._bits[predecessor])
        self._waiting: list[list[_Labels]] = [[] for _ in range(graph.end + 1)]
        self._settled: list[_Labels] = []
        self._settled_at: list[int] = []
        self.is_complete = True

    def run(self) -> Chain | None:
        """A chain, or None: there is none if `is_complete`."""
        self._extend(0, self._nothing())
        for position in range(1, self._graph.end):
            if self._has_expired():
                self.is_complete = False
                return None
            labels = self._settle(position)
            if labels is not None:
                self._extend(position, labels)
        return self._finish()

    def _nothing(self) -> _Labels:
        none = np.array([_NOBODY])
        return _Labels(none, none, np.zeros(1, np.int64), np.zeros(1), np.zeros(1), np.zeros_like(self._bits[:1]))

    def _extend(self, position: int, labels: _Labels) -> None:
        """Adds one more board, in every way that can still be completed."""
        stop = int(self._graph.stops[position])
        if stop == 0:
            return
        window = slice(position + 1, stop)
        parents = np.array([_NOBODY]) if position == 0 else self._numbers_of_last_settled()
        rows, boards = np.nonzero(self._may_follow(position, labels))
        spent = labels.spent[rows] + self._price[boards]
        bound = spent[:, None] + self._walks.onward(boards, window, labels.board[rows])
        bound[~self._graph.stage_ok[position, boards, window]] = np.inf
        pairs, ends = np.nonzero(bound <= 1 + ROUNDING)
        order = np.argsort(ends, kind="stable")
        pairs, ends = pairs[order], ends[order]
        extended = _Labels(
            parents[rows[pairs]],
            boards[pairs],
            labels.n_used[rows[pairs]] + 1,
            spent[pairs],
            bound[pairs, ends],
            labels.used[rows[pairs]] | self._bits[boards[pairs]],
        )
        for end, members in _runs(ends):
            self._wait(position + 1 + end, extended.take(members))

    def _may_follow(self, position: int, labels: _Labels) -> Array:
        """(n_labels, n_boards) bool."""
        linked = self._graph.first_ok[None] if position == 0 else self._graph.link_ok[position][labels.board]
        free = (labels.used[:, None] & self._bits == 0).all(axis=2)
        in_turn = (labels.used[:, None] & self._needed == self._needed).all(axis=2)
        may_follow: Array = linked & free & in_turn & (labels.n_used < self._max_boards)[:, None]
        return may_follow

    def _wait(self, position: int, labels: _Labels) -> None:
        waiting = self._waiting[position]
        waiting.append(labels)
        most = _WAITING * self._width
        if sum(map(len, waiting)) > 2 * most:
            joined = _Labels.joined(waiting)
            self._waiting[position] = [joined.take(np.argpartition(joined.bound, most)[:most])]
            self.is_complete = False

    def _settle(self, position: int) -> _Labels | None:
        """Of the labels at a position, those worth extending."""
        if not self._waiting[position]:
            return None
        labels = _Labels.joined(self._waiting[position])
        self._waiting[position] = []
        labels = labels.take(np.argsort(labels.bound, kind="stable"))
        labels = labels.take(np.flatnonzero(~_dominated(labels)))
        if len(labels) > self._width:
            labels = labels.take(np.arange(self._width))
            self.is_complete = False
        self._settled.append(labels)
        self._settled_at.append(position)
        return labels

    def _numbers_of_last_settled(self) -> Array:
        total = sum(map(len, self._settled))
        return np.arange(total - len(self._settled[-1]), total)

    def _finish(self) -> Chain | None:
        if not self._waiting[self._graph.end]:
            return None
        labels = _Labels.joined(self._waiting[self._graph.end])
        at = int(labels.bound.argmin())
        boards, positions = [int(labels.board[at])], [self._graph.end]
        number = int(labels.parent[at])
        firsts = np.cumsum([0, *map(len, self._settled)])
        while number != _NOBODY:
            chunk = int(np.searchsorted(firsts, number, side="right")) - 1
            settled, index = self._settled[chunk], number - int(firsts[chunk])
            boards.append(int(settled.board[index]))
            positions.append(self._settled_at[chunk])
            number = int(settled.parent[index])
        return Chain(tuple(reversed(boards)), (0, *reversed(positions)))


def _dominated(labels: _Labels) -> Array:
    """(n,) bool: an earlier label of the same board has used none but boards that this one has used."""
    dominated = np.zeros(len(labels), bool)
    order = np.argsort(labels.board, kind="stable")
    for _, members in _runs(labels.board[order]):
        same_board = order[members]
        used = labels.used[same_board]
        contained = (used[:_DOMINATORS, None] & ~used[None] == 0).all(axis=2)
        dominated[same_board] = np.triu(contained, k=1).any(axis=0)
    return dominated


def _runs(values: Array) -> Iterator[tuple[int, Array]]:
    """(value, indices) of each run of equal values in a sorted array."""
    if len(values):
        for members in np.split(np.arange(len(values)), np.flatnonzero(np.diff(values)) + 1):
            yield int(values[members[0]]), members

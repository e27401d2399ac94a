"""The cheapest walks through a cluster when every visit to a board has a price: chains that may come back to a board."""

from __future__ import annotations

from typing import Any

import numpy as np

from partitioning.planning.cluster_graph import StepGraph
from partitioning.planning.problem import FloatArray

Array = np.ndarray[Any, Any]
_NOBODY = -1


class CheapestWalks:
    """Prices of the cheapest ways on, from every position on every board, to the end.

        stage(t, i) = price(t) + min over j > i of onward(t, j)        (the stage i..j of board t is quick enough)
        onward(s, i) = min over t of stage(t, i)                        (the link s -> t is quick enough at i)

    A walk may visit a board several times, but never goes s -> t -> s: every entry has a second best that goes on to another
    board than the best does, and whoever must not go there takes the second best. That is the pricing relaxation of vehicle
    routing (2-cycle elimination); without it a walk goes back and forth between the two best boards.

    Attributes:
        value: the price of the cheapest walk, inf if there is none.
    """

    def __init__(self, graph: StepGraph, visit_price: FloatArray) -> None:
        """visit_price: (n_boards,) >= 0."""
        shape = (graph.n_boards, graph.end + 1)
        self._graph, self._boards = graph, np.arange(graph.n_boards)
        # Entry [b, i]: best, the board it goes to, and the best that goes to any other board.
        self._onward, self._other_onward = np.full(shape, np.inf), np.full(shape, np.inf)
        self._next_onward = np.full(shape, _NOBODY)
        self._stage, self._other_stage = np.full(shape, np.inf), np.full(shape, np.inf)
        self._next_stage = np.full(shape, _NOBODY)
        self._onward[graph.last_ok, graph.end] = 0.0
        for position in range(graph.end - 1, -1, -1):
            if graph.stops[position]:
                self._price_stages(position, visit_price)
                self._price_links(position)
        self._start = np.where(graph.first_ok, self._stage[:, 0], np.inf)
        self.value = float(self._start.min())

    def onward(self, boards: Array, window: slice, excluded: Array) -> FloatArray:
        """(n, window) prices of going on after boards (n,) have computed up to a position, not to the boards excluded."""
        barred = self._next_onward[boards, window] == excluded[:, None]
        # The last stage goes to nobody, and whoever excludes nobody bars nothing.
        barred &= excluded[:, None] != _NOBODY
        return np.where(barred, self._other_onward[boards, window], self._onward[boards, window])

    def cheapest(self) -> tuple[list[int], list[int]]:
        """Boards in order and positions of the cheapest walk; there must be one."""
        graph = self._graph
        before, board, position = _NOBODY, int(self._start.argmin()), 0
        boards, positions = [board], [0]
        while True:
            window = slice(position + 1, graph.stops[position])
            ahead = self.onward(np.array([board]), window, np.array([before]))[0]
            position += 1 + int((graph.stage_cost[position, board, window] + ahead).argmin())
            positions.append(position)
            if position == graph.end:
                return boards, positions
            barred = self._next_stage[:, position] == board
            ahead = np.where(barred, self._other_stage[:, position], self._stage[:, position])
            ahead += graph.link_cost[position, board]
            if before != _NOBODY:
                ahead[before] = np.inf
            before, board = board, int(ahead.argmin())
            boards.append(board)

    # argmin along rows and a look-up: with some 50 boards that takes half as long as numpy's minimum along rows.
    def _price_stages(self, position: int, visit_price: FloatArray) -> None:
        window = slice(position + 1, self._graph.stops[position])
        rows = self._boards
        impossible = self._graph.stage_cost[position, :, window]
        onward, following = self._onward[:, window], self._next_onward[:, window]
        offered = onward + impossible
        chosen = offered.argmin(axis=1)
        self._stage[:, position] = visit_price + offered[rows, chosen]
        following_best = following[rows, chosen]
        self._next_stage[:, position] = following_best
        offered = np.where(following == following_best[:, None], self._other_onward[:, window], onward)
        offered += impossible
        self._other_stage[:, position] = visit_price + offered[rows, offered.argmin(axis=1)]

    def _price_links(self, position: int) -> None:
        rows = self._boards
        impossible = self._graph.link_cost[position]
        offered = impossible + self._stage[:, position]  # (sender, receiver)
        following = self._next_stage[:, position]
        comes_back = rows[following != _NOBODY]
        senders = following[comes_back]
        offered[senders, comes_back] = impossible[senders, comes_back] + self._other_stage[comes_back, position]
        chosen = offered.argmin(axis=1)
        self._onward[:, position] = offered[rows, chosen]
        self._next_onward[:, position] = chosen
        offered[rows, chosen] = np.inf
        self._other_onward[:, position] = offered[rows, offered.argmin(axis=1)]

"""One decision of the search for a cluster's chain: is there a chain within a limit?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from partitioning.planning.cluster_graph import StepGraph
from partitioning.planning.cluster_labels import LabelSearch
from partitioning.planning.cluster_prices import price_boards
from partitioning.planning.cluster_symmetry import predecessors
from partitioning.planning.cluster_walks import CheapestWalks
from partitioning.planning.judge import Chain
from partitioning.planning.problem import ChainProblem, FloatArray

# The share of an effort that is tried first: most limits are far from the optimum.
_FIRST_SHARE = 1 / 8


@dataclass(frozen=True)
class Effort:
    """How much work goes into deciding one limit.

    Attributes:
        rounds: of pricing, at most.
        width: labels kept per position.
        precision: limits that are closer to one another than that are not told apart: 0.01 is 1 %.
    """

    rounds: int
    width: int
    precision: float


@dataclass(frozen=True)
class Finding:
    """A chain, or whether it is proven that there is none; neither where the effort was not enough."""

    chain: Chain | None
    is_proof: bool

    @property
    def is_decided(self) -> bool:
        """It is known whether there is a chain."""
        return self.chain is not None or self.is_proof


class Decider:
    """Decides for one graph after another; each begins with the prices that the one before ended with."""

    def __init__(self, problem: ChainProblem, max_boards: int, has_expired: Callable[[], bool]) -> None:
        """max_boards: from 1 to the number of boards."""
        self._max_boards, self._has_expired = max_boards, has_expired
        self._predecessor = predecessors(problem)
        self._prices = np.full(problem.n_boards + 1, 1 / (problem.n_boards + 1))

    def decide(self, graph: StepGraph, effort: Effort) -> Finding:
        """Whether the graph has a chain, as far as the effort goes."""
        some_rounds, some_labels = (max(1, int(n * _FIRST_SHARE)) for n in (effort.rounds, effort.width))
        # Labels are often few where prices prove nothing: they are tried in full before prices are.
        tries = ((some_rounds, some_labels), (1, effort.width), (effort.rounds, effort.width))
        found = Finding(None, is_proof=False)
        for rounds, width in tries:
            found = self._try(graph, rounds, width)
            if found.is_decided or self._has_expired():
                break
        return found

    def _try(self, graph: StepGraph, rounds: int, width: int) -> Finding:
        pricing = price_boards(graph, self._prices, self._max_boards, rounds, self._has_expired)
        if np.isfinite(pricing.walks.value):
            self._prices = pricing.prices  # limits that come next are alike
        if pricing.chain is not None or pricing.proves_infeasible:
            return Finding(pricing.chain, pricing.proves_infeasible)
        found = self._search(graph, pricing.walks, pricing.visit_price, width)
        if found.is_decided:
            return found
        # From the other end other labels are kept: that finds chains about as often as twice the width does.
        backwards = graph.reversed()
        found = self._search(backwards, CheapestWalks(backwards, pricing.visit_price), pricing.visit_price, width)
        return Finding(found.chain and _reversed(found.chain, graph.end), found.is_proof)

    def _search(self, graph: StepGraph, walks: CheapestWalks, visit_price: FloatArray, width: int) -> Finding:
        search = LabelSearch(
            graph,
            walks,
            visit_price,
            max_boards=self._max_boards,
            predecessor=self._predecessor,
            width=width,
            has_expired=self._has_expired,
        )
        chain = search.run()
        return Finding(chain, search.is_complete)


def _reversed(chain: Chain, end: int) -> Chain:
    """The chain of a graph, from that of the reversed graph."""
    return Chain(chain.boards[::-1], tuple(end - position for position in reversed(chain.positions)))

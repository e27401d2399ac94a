"""Prices on boards that prove a limit too tight: a bound that counts every board once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from partitioning.planning.cluster_graph import StepGraph
from partitioning.planning.cluster_walks import CheapestWalks
from partitioning.planning.judge import Chain
from partitioning.planning.problem import FloatArray

Array = np.ndarray[Any, Any]

# Sums of at most some hundred prices that add up to 1: their rounding errors are far below that.
ROUNDING = 1e-9
# Measured on 50 boards and 100 cuts, after 100 rounds: no inertia, 0.9, or twice the step give a worse bound.
_STEP = 0.5
_STEP_HALVES_AFTER = 20
_INERTIA = 0.5
# No price becomes 0, or it could not rise again.
_LEAST_SHARE = 1e-4


@dataclass(frozen=True)
class Pricing:
    """What was learnt of a graph.

    Attributes:
        prices: (n_boards + 1,) of the boards and of the number of boards, adding up to 1; the best that were found.
        walks: the walks under these prices.
        chain: a walk that turned out to visit no board twice, if there was one.
    """

    prices: FloatArray
    walks: CheapestWalks
    visit_price: FloatArray
    chain: Chain | None

    @property
    def proves_infeasible(self) -> bool:
        """Every walk, so every chain, costs more than all boards together do."""
        return self.walks.value > 1 + ROUNDING


def price_boards(
    graph: StepGraph, prices: FloatArray, max_boards: int, rounds: int, has_expired: Callable[[], bool]
) -> Pricing:
    """Raises the prices of boards that cheap walks visit too often, until a proof, a chain, or no rounds are left.

    A chain visits each board once at most and max_boards in all, so with prices p >= 0 that add up to 1

        sum over its stages of (p[board] + p[last] / max_boards) <= 1.

    If even the cheapest walk costs more, there is no chain. The best prices are the dual of the linear programme that sends
    one unit from the first position to the last through boards of capacity 1; so the bound holds whatever the measure of
    work is, and is the best over all such measures.

    Args:
        prices: (n_boards + 1,) to begin with, adding up to 1: those of a graph alike, say.
        rounds: the most walks to look at, at least 1.
    Source: multiplicative weights (Arora, Hazan, Kale 2012) on the relaxation of elementary paths by walks (Christofides,
        Mingozzi, Toth 1981).
    """
    best: Pricing | None = None
    excess = np.zeros_like(prices)
    for number in range(rounds):
        visit_price = prices[:-1] + prices[-1] / max_boards
        walks = CheapestWalks(graph, visit_price)
        if best is None or walks.value > best.walks.value:
            best = Pricing(prices, walks, visit_price, None)
        if walks.value > 1 + ROUNDING:
            break
        boards, positions = walks.cheapest()
        usage = np.append(np.bincount(boards, minlength=graph.n_boards), len(boards) / max_boards)
        if usage.max() <= 1:
            return Pricing(prices, walks, visit_price, Chain(tuple(boards), tuple(positions)))
        if has_expired():
            break
        excess = _INERTIA * excess + (1 - _INERTIA) * (usage - usage.mean()) / usage.max()
        prices = _raise(prices, excess * _STEP / (1 + number / _STEP_HALVES_AFTER))
    assert best is not None, "at least one round"
    return best


def _raise(prices: FloatArray, exponent: FloatArray) -> FloatArray:
    raised: FloatArray = prices * np.exp(exponent)
    raised = np.maximum(raised / raised.sum(), _LEAST_SHARE / len(raised))
    raised /= raised.sum()
    return raised

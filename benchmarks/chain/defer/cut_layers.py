"""Maps cuts of a flatbuffer to Keras layers, by the share of the work that is done there."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.chain.errors import BaselineError
from partitioning.operator_work import estimate_work
from planner.model import PlannerModel


def shares_done(model: PlannerModel, cuts: Sequence[int]) -> list[float]:
    """How much of the model's multiply-accumulates lies before each cut, from 0 to 1."""
    work = estimate_work(model.graph)
    return [sum(work[:cut]) / sum(work) for cut in cuts]


def nearest_layers(wanted: Sequence[float], layers: Sequence[tuple[str, float]]) -> list[str]:
    """One layer for each share wanted: rising, none twice, with the least sum of distances.

        D[k, i] = min over j < i of D[k-1, j] + |wanted[k] - share(i)|

    Args:
        wanted: shares of the work done, rising.
        layers: (name, share of the work done behind it), in order.
    Raises: BaselineError: fewer layers than cuts.
    """
    if len(layers) < len(wanted):
        raise BaselineError(f"{len(wanted)} cuts are wanted, and all passes through {len(layers)} layers only.")
    best: list[tuple[float, list[int]]] = [(0.0, []) for _ in range(len(layers) + 1)]
    for share in wanted:
        found: list[tuple[float, list[int]]] = [(float("inf"), [])]
        for index in range(len(layers)):
            distance, chosen = best[index]
            here = (distance + abs(share - layers[index][1]), [*chosen, index])
            found.append(min(found[-1], here))
        best = found
    return [layers[index][0] for index in best[-1][1]]

"""This project's plans and published heuristics on SEIFER's clusters, instance by instance."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.seifer import SeiferInstance, make_instance
from benchmarks.seifer_heuristics import HEURISTICS
from partitioning.planning import judge_chain
from partitioning.planning.cluster_search import ClusterPlan, plan_cluster
from partitioning.planning.problem import InfeasiblePlanError


@dataclass(frozen=True)
class Comparison:
    """One cluster.

    Attributes:
        plan: ours, None if it is proven that no chain exists.
        heuristic_s: name -> slowest step of its chain, inf if it found none.
    """

    model: str
    n_boards: int
    plan: ClusterPlan | None
    time_ms: float
    heuristic_s: dict[str, float]

    def is_worse_than(self, heuristic: str) -> bool:
        """Our slowest step is slower."""
        return self._bottleneck_s > self.heuristic_s[heuristic]

    def gain_over(self, heuristic: str) -> float | None:
        """How many times slower its slowest step is; None where both are 0 (one board holds the model) or it has no chain."""
        theirs_s = self.heuristic_s[heuristic]
        return theirs_s / self._bottleneck_s if self._bottleneck_s > 0 and math.isfinite(theirs_s) else None

    @property
    def _bottleneck_s(self) -> float:
        return math.inf if self.plan is None else self.plan.cost.bottleneck_s


def compare_all(
    models: Sequence[str], memories_mb: Sequence[int], board_counts: Sequence[int], trials: int, seed: int
) -> Iterator[Comparison]:
    """Trials random clusters for every model, memory and number of boards; an instance depends on nothing but its own numbers."""
    for model_index, model in enumerate(models):
        for memory_mb in memories_mb:
            for n_boards in board_counts:
                for trial in range(trials):
                    generator = np.random.default_rng([seed, model_index, memory_mb, n_boards, trial])
                    yield _compare(generator, model, make_instance(generator, model, memory_mb, n_boards))


def gains_over(comparisons: Sequence[Comparison], heuristic: str) -> list[float]:
    """The gains of the clusters that have one."""
    return [gain for gain in (c.gain_over(heuristic) for c in comparisons) if gain is not None]


def _compare(generator: np.random.Generator, model: str, instance: SeiferInstance) -> Comparison:
    begun_s = time.perf_counter()
    try:
        plan = plan_cluster(instance.problem)
    except InfeasiblePlanError:
        plan = None
    time_ms = (time.perf_counter() - begun_s) * 1e3
    heuristic_s = {}
    for name, heuristic in HEURISTICS.items():
        chain = heuristic(generator, instance)
        heuristic_s[name] = math.inf if chain is None else judge_chain(instance.problem, chain).bottleneck_s
    return Comparison(model, len(instance.bytes_per_s), plan, time_ms, heuristic_s)

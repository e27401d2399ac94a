"""A shortened chain keeps the order and the limit, and has the least latency of all that do."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from benchmarks.planning_instances import every_chain, random_problem
from partitioning.planning import Chain, judge_chain
from partitioning.planning.cluster_polish import shorten_chain


@pytest.mark.parametrize("seed", range(20))
def test_latency_is_the_least_of_all_chains_in_that_order(seed: int) -> None:
    generator = np.random.default_rng(seed)
    problem = random_problem(generator, 5, 4, 4)
    for number, chain in enumerate(
        c for c in every_chain(problem) if np.isfinite(judge_chain(problem, c).bottleneck_s)
    ):
        if number % 37:
            continue
        limit_s = judge_chain(problem, chain).bottleneck_s
        shortened = judge_chain(problem, shorten_chain(problem, chain, limit_s))
        assert shortened.bottleneck_s <= limit_s
        in_order = (
            Chain(order, (0, *cuts, problem.end))
            for n_used in range(1, len(chain.boards) + 1)
            for order in itertools.combinations(chain.boards, n_used)
            for cuts in itertools.combinations(range(1, problem.end), n_used - 1)
        )
        costs = [judge_chain(problem, c) for c in in_order]
        assert shortened.latency_s == pytest.approx(min(c.latency_s for c in costs if c.bottleneck_s <= limit_s))

"""The graph of steps within a limit has the chains within that limit, read from either end."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.planning_instances import every_chain
from partitioning.planning import Chain, judge_chain
from partitioning.planning.cluster_graph import ClusterCosts, StepGraph
from tests.partitioning.planning.cluster_graphs import every_walk, random_limit_s, small_problem


def chains_of(graph: StepGraph) -> set[Chain]:
    return {walk for walk in every_walk(graph) if len(set(walk.boards)) == len(walk.boards)}


@pytest.mark.parametrize("seed", range(20))
def test_chains_of_the_graph_are_those_within_the_limit(seed: int) -> None:
    generator = np.random.default_rng(seed)
    problem = small_problem(generator)
    limit_s = random_limit_s(generator, problem)
    graph = ClusterCosts(problem).steps_within(limit_s)
    assert graph.stage_ok.shape == (problem.end + 1, problem.n_boards, problem.end + 1)
    assert graph.link_ok.shape == (problem.end + 1, problem.n_boards, problem.n_boards)
    expected = {c for c in every_chain(problem) if judge_chain(problem, c).bottleneck_s <= limit_s}
    assert chains_of(graph) == expected
    end = problem.end
    backwards = {Chain(c.boards[::-1], tuple(end - p for p in reversed(c.positions))) for c in expected}
    assert chains_of(graph.reversed()) == backwards


def test_every_cost_of_a_chain_is_a_limit() -> None:
    problem = small_problem(np.random.default_rng(3))
    limits_s = ClusterCosts(problem).limits_s
    assert (np.diff(limits_s) > 0).all()
    for chain in every_chain(problem):
        cost_s = judge_chain(problem, chain).bottleneck_s
        assert np.isinf(cost_s) or cost_s in limits_s


def test_stops_are_past_the_farthest_end() -> None:
    problem = small_problem(np.random.default_rng(5))
    graph = ClusterCosts(problem).steps_within(float(np.max(problem.stage_s[np.isfinite(problem.stage_s)])))
    for position, stop in enumerate(graph.stops):
        ends = np.flatnonzero(graph.stage_ok[position].any(axis=0))
        assert stop == (ends[-1] + 1 if len(ends) else 0)

"""Prices prove a limit too tight only where no chain stays within it."""

from __future__ import annotations

import numpy as np
import pytest

from partitioning.planning import ChainProblem, judge_chain
from partitioning.planning.cluster_graph import ClusterCosts
from partitioning.planning.cluster_prices import price_boards
from tests.partitioning.planning.cluster_graphs import has_chain, random_limit_s, small_problem


def equal_prices(n_boards: int) -> np.ndarray:
    return np.full(n_boards + 1, 1 / (n_boards + 1))


@pytest.mark.parametrize("seed", range(100))
def test_proof_and_chain_are_right_when_given(seed: int) -> None:
    generator = np.random.default_rng(seed)
    problem = small_problem(generator)
    limit_s = random_limit_s(generator, problem)
    most_boards = int(generator.integers(1, problem.n_boards + 1))
    graph = ClusterCosts(problem).steps_within(limit_s)
    pricing = price_boards(graph, equal_prices(problem.n_boards), most_boards, 50, lambda: False)
    assert pricing.prices.sum() == pytest.approx(1)
    if pricing.proves_infeasible:
        assert not has_chain(problem, limit_s, most_boards)
    if pricing.chain is not None:
        assert judge_chain(problem, pricing.chain).bottleneck_s <= limit_s
        assert len(set(pricing.chain.boards)) == len(pricing.chain.boards) <= most_boards


def test_capacity_of_all_boards_is_counted() -> None:
    # Four operators of 1 s on three equal boards with free links: within 1 s a walk goes round the three, a chain cannot.
    stage_s = np.full((3, 5, 5), np.inf)
    stage_s[:, range(4), range(1, 5)] = 1.0
    graph = ClusterCosts(ChainProblem(stage_s, np.zeros((4, 4, 5)), np.zeros(5))).steps_within(1.0)
    pricing = price_boards(graph, equal_prices(3), 3, 50, lambda: False)
    assert pricing.proves_infeasible
    assert np.isfinite(pricing.walks.value)


def test_prices_found_so_far_are_kept_when_time_runs_out() -> None:
    # The same with a board that never helps: equal prices do not prove anything yet.
    stage_s = np.full((6, 5, 5), np.inf)
    stage_s[:3, range(4), range(1, 5)] = 1.0
    graph = ClusterCosts(ChainProblem(stage_s, np.zeros((7, 7, 5)), np.zeros(5))).steps_within(1.0)
    hurried = price_boards(graph, equal_prices(6), 6, 50, lambda: True)
    assert not hurried.proves_infeasible
    assert hurried.prices == pytest.approx(equal_prices(6))
    assert price_boards(graph, equal_prices(6), 6, 50, lambda: False).proves_infeasible

"""The search for a chain decides as trying every chain does while it is complete, and says when it is not."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.planning_instances import cluster_problem, integer_problem
from partitioning.planning import Chain, ChainProblem, judge_chain
from partitioning.planning.cluster_graph import ClusterCosts
from partitioning.planning.cluster_labels import LabelSearch
from partitioning.planning.cluster_symmetry import predecessors
from partitioning.planning.cluster_walks import CheapestWalks
from tests.partitioning.planning.cluster_graphs import has_chain, random_limit_s, small_problem


def search_for(
    problem: ChainProblem, limit_s: float, width: int = 1000, most_boards: int | None = None, expired: bool = False
) -> tuple[Chain | None, bool]:
    """(chain, is_complete), guided by prices that are all the same."""
    graph = ClusterCosts(problem).steps_within(limit_s)
    price = np.full(problem.n_boards, 1 / problem.n_boards)
    search = LabelSearch(
        graph,
        CheapestWalks(graph, price),
        price,
        max_boards=most_boards or problem.n_boards,
        predecessor=predecessors(problem),
        width=width,
        has_expired=lambda: expired,
    )
    return search.run(), search.is_complete


@pytest.mark.parametrize("seed", range(100))
def test_decision_equals_trying_every_chain(seed: int) -> None:
    generator = np.random.default_rng(seed)
    problem = small_problem(generator) if seed % 2 else integer_problem(generator, 5, 4)
    limit_s = random_limit_s(generator, problem)
    most_boards = int(generator.integers(1, problem.n_boards + 1))
    chain, is_complete = search_for(problem, limit_s, most_boards=most_boards)
    assert is_complete
    assert (chain is not None) == has_chain(problem, limit_s, most_boards)
    if chain is not None:
        assert judge_chain(problem, chain).bottleneck_s <= limit_s
        assert len(set(chain.boards)) == len(chain.boards) <= most_boards
        assert chain.positions[0] == 0
        assert chain.positions[-1] == problem.end


def test_search_says_that_it_left_labels_out() -> None:
    problem = cluster_problem(np.random.default_rng(0), 20, 12, equal_speeds=False, wireless=False)
    limits_s = ClusterCosts(problem).limits_s
    outcomes = {search_for(problem, limit_s, width=1) for limit_s in limits_s[:: len(limits_s) // 40]}
    assert (None, True) in outcomes  # too tight for any label at the first positions
    assert (None, False) in outcomes
    assert any(chain is not None for chain, _ in outcomes)


def test_search_stops_when_time_has_run_out() -> None:
    problem = integer_problem(np.random.default_rng(1), 5, 3)
    assert search_for(problem, 10.0, expired=True) == (None, False)


def test_seventy_boards_take_more_than_one_word() -> None:
    # A line of 70 boards, each of which can do its own operator alone.
    n = 70
    stage_s = np.full((n, n + 1, n + 1), np.inf)
    stage_s[range(n), range(n), range(1, n + 1)] = 1.0
    problem = ChainProblem(stage_s, np.zeros((n + 1, n + 1, n + 1)), np.zeros(n + 1))
    assert search_for(problem, 1.0) == (Chain(tuple(range(n)), tuple(range(n + 1))), True)
    stage_s[69, 69, 70], stage_s[0, 69, 70] = np.inf, 1.0  # board 0 would have to come twice
    assert search_for(problem, 1.0) == (None, True)

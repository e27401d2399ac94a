"""Prices of the cheapest walks equal those found by trying every walk."""

from __future__ import annotations

import numpy as np
import pytest

from partitioning.planning.cluster_graph import ClusterCosts
from partitioning.planning.cluster_walks import CheapestWalks
from tests.partitioning.planning.cluster_graphs import every_walk, random_limit_s, small_problem


@pytest.mark.parametrize("seed", range(60))
def test_cheapest_walk_is_the_cheapest_of_all(seed: int) -> None:
    generator = np.random.default_rng(seed)
    problem = small_problem(generator)
    graph = ClusterCosts(problem).steps_within(random_limit_s(generator, problem))
    price = generator.uniform(0, 1, graph.n_boards)
    tried = list(every_walk(graph))
    walks = CheapestWalks(graph, price)
    if not tried:
        assert walks.value == np.inf
        return
    assert walks.value == pytest.approx(min(sum(price[list(w.boards)]) for w in tried))
    boards, positions = walks.cheapest()
    assert (tuple(boards), tuple(positions)) in {(w.boards, w.positions) for w in tried}
    assert sum(price[boards]) == pytest.approx(walks.value)


@pytest.mark.parametrize("seed", range(20))
def test_going_on_is_priced_without_the_board_excluded(seed: int) -> None:
    generator = np.random.default_rng(seed)
    problem = small_problem(generator)
    graph = ClusterCosts(problem).steps_within(random_limit_s(generator, problem))
    price = generator.uniform(0, 1, graph.n_boards)
    walks = CheapestWalks(graph, price)
    boards = np.arange(graph.n_boards)
    tried = list(every_walk(graph))
    priced = walks.onward(boards[1:], slice(1, graph.end + 1), boards[:-1])
    assert priced.shape == (graph.n_boards - 1, graph.end)
    for walk in tried:
        for at, (before, board) in enumerate(zip(walk.boards[:-1], walk.boards[1:])):
            if before == board - 1:
                rest = sum(price[list(walk.boards[at + 2 :])])
                assert priced[before, walk.positions[at + 2] - 1] <= rest + 1e-12

"""Small graphs of quick steps, and every walk and chain through them, by trying."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from benchmarks.planning_instances import every_chain, random_problem
from partitioning.planning import Chain, ChainProblem, judge_chain
from partitioning.planning.cluster_graph import ClusterCosts, StepGraph


def small_problem(generator: np.random.Generator, most_boards: int = 4) -> ChainProblem:
    n_boards = int(generator.integers(1, most_boards + 1))
    return random_problem(generator, int(generator.integers(1, 6)), n_boards, int(generator.integers(1, n_boards + 1)))


def random_limit_s(generator: np.random.Generator, problem: ChainProblem) -> float:
    return float(generator.choice(ClusterCosts(problem).limits_s))


def has_chain(problem: ChainProblem, limit_s: float, most_boards: int) -> bool:
    return any(
        judge_chain(problem, chain).bottleneck_s <= limit_s
        for chain in every_chain(problem)
        if len(chain.boards) <= most_boards
    )


def every_walk(graph: StepGraph, boards: tuple[int, ...] = (), position: int = 0) -> Iterator[Chain]:
    """All chains that may come back to a board, but not s -> t -> t nor s -> t -> s."""
    for board in range(graph.n_boards):
        if boards:
            if board in boards[-2:] or not graph.link_ok[position, boards[-1], board]:
                continue
        elif not graph.first_ok[board]:
            continue
        for end in np.flatnonzero(graph.stage_ok[position, board]):
            if end < graph.end:
                for walk in every_walk(graph, (*boards, board), int(end)):
                    yield Chain(walk.boards, (position, *walk.positions))
            elif graph.last_ok[board]:
                yield Chain((*boards, board), (position, graph.end))

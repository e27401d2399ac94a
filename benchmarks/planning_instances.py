"""Random planning problems of many shapes, and the answer found by trying every chain."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np

from partitioning.planning import Chain, ChainCost, ChainProblem, judge_chain


def random_problem(generator: np.random.Generator, n_operators: int, n_boards: int, n_types: int) -> ChainProblem:
    """Boards of n_types kinds (n_boards of them: all unequal), pairwise links, memory from ample to too little."""
    kinds = np.arange(n_boards) % n_types
    op_s = generator.uniform(0.2, 2, n_operators) * generator.uniform(0.3, 3, (n_types, 1))
    op_s *= generator.uniform(0.7, 1.3, (n_types, n_operators))
    op_bytes = generator.uniform(0, 1, n_operators)
    limit_bytes = generator.uniform(0.15, 1.5, n_types) * op_bytes.sum()
    total_s = np.concatenate([np.zeros((n_types, 1)), op_s.cumsum(axis=1)], axis=1)
    total_bytes = np.concatenate([[0], op_bytes.cumsum()])
    overhead_s = generator.uniform(0, 0.3, (n_types, 1, 1))
    stage_s = total_s[:, None, :] - total_s[:, :, None] + overhead_s
    stage_s[(total_bytes[None, :] - total_bytes[:, None])[None] > limit_bytes[:, None, None]] = np.inf
    rows, columns = np.tril_indices(n_operators + 1)
    stage_s[:, rows, columns] = np.inf
    crossing_bytes = generator.uniform(0, 2, n_operators + 1)
    ends = np.concatenate([kinds, [n_types]])
    bytes_per_s = generator.uniform(0.3, 5, (n_types + 1, n_types + 1))[ends][:, ends]
    link_s = crossing_bytes / bytes_per_s[:, :, None]
    return ChainProblem(stage_s[kinds], link_s, crossing_bytes)


def integer_problem(generator: np.random.Generator, n_operators: int, n_boards: int) -> ChainProblem:
    """Small whole numbers for costs, so that ties abound and sums are exact."""
    n = n_operators + 1
    stage_s = generator.integers(1, 5, (n_boards, n, n)).astype(np.float64)
    rows, columns = np.tril_indices(n)
    stage_s[:, rows, columns] = np.inf
    link_s = generator.integers(0, 4, (n_boards + 1, n_boards + 1, n)).astype(np.float64)
    return ChainProblem(stage_s, link_s, generator.integers(0, 3, n).astype(np.float64))


def every_chain(problem: ChainProblem, boards: tuple[int, ...] | None = None) -> Iterator[Chain]:
    """All chains over all selections and orders of the boards (or of these), at all cuts."""
    available = range(problem.n_boards) if boards is None else boards
    for n_used in range(1, min(len(available), problem.end) + 1):
        for order in itertools.permutations(available, n_used):
            for cuts in itertools.combinations(range(1, problem.end), n_used - 1):
                yield Chain(order, (0, *cuts, problem.end))


def cheapest_by_trying(problem: ChainProblem) -> ChainCost:
    """The least cost over every chain."""
    return min(judge_chain(problem, chain) for chain in every_chain(problem))


def cluster_problem(
    generator: np.random.Generator, n_operators: int, n_boards: int, *, equal_speeds: bool, wireless: bool
) -> ChainProblem:
    """Boards whose every pair has a link of its own, equal in all else or unlike in all; the model seldom fits one of them.

    wireless: links slow down with distance in a square, as SEIFER's do, so a board at its edge has no fast link at all; else
        speeds are independent of one another. On average what crosses a cut takes as long as two operators.
    """
    boards = random_problem(generator, n_operators, n_boards, 1 if equal_speeds else n_boards)
    if not wireless:
        links = random_problem(generator, n_operators, n_boards, n_boards)
        return ChainProblem(boards.stage_s, links.link_s, links.crossing_bytes)
    place_m = generator.uniform(0, 150, (n_boards + 1, 2))
    distance_m2 = np.square(place_m[:, None] - place_m[None]).sum(axis=2)
    np.fill_diagonal(distance_m2, 1.0)  # a link that no chain uses
    bytes_per_s = np.log2(1 + 283230 / distance_m2) / 6
    crossing_bytes = generator.uniform(0, 8, n_operators + 1)
    return ChainProblem(boards.stage_s, crossing_bytes / bytes_per_s[:, :, None], crossing_bytes)

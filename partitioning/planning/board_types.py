"""Groups boards that are interchangeable, so that a planner counts them instead of trying each."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence

import numpy as np

from partitioning.planning.problem import ChainProblem


def group_boards(problem: ChainProblem, apart: Collection[int] = ()) -> list[list[int]]:
    """Boards by type: two are of one type if exchanging them changes no cost, that of their links included.

    That is an equivalence, because exchanges that change nothing can follow one another.
    Args:
        apart: boards that are each a type of their own, whatever they are like.
    """
    types: list[list[int]] = []
    for board in range(problem.n_boards):
        for members in types:
            if not {members[0], board}.intersection(apart) and _interchangeable(problem, members[0], board):
                members.append(board)
                break
        else:
            types.append([board])
    return types


def count_selections(types: Sequence[Sequence[int]], pinned: Collection[int]) -> int:
    """In how many ways boards can be in use, those of a type counted and not told apart; pinned ones always are."""
    return math.prod(len(members) + 1 for members in types if members[0] not in pinned)


def _interchangeable(problem: ChainProblem, one: int, other: int) -> bool:
    for stages in (problem.stage_s, problem.stage_j):
        if stages is not None and not np.array_equal(stages[one], stages[other]):
            return False
    exchanged = np.arange(problem.n_boards + 1)
    exchanged[[one, other]] = other, one
    between = [problem.link_s] if problem.delay_s is None else [problem.link_s, problem.delay_s]
    return all(np.array_equal(costs, costs[np.ix_(exchanged, exchanged)]) for costs in between)

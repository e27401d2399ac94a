"""Groups boards that are interchangeable, so that a planner counts them instead of trying each."""

from __future__ import annotations

import numpy as np

from partitioning.planning.problem import ChainProblem


def group_boards(problem: ChainProblem) -> list[list[int]]:
    """Boards by type: two are of one type if exchanging them changes no cost, that of their links included.

    That is an equivalence, because exchanges that change nothing can follow one another.
    """
    types: list[list[int]] = []
    for board in range(problem.n_boards):
        for members in types:
            if _interchangeable(problem, members[0], board):
                members.append(board)
                break
        else:
            types.append([board])
    return types


def _interchangeable(problem: ChainProblem, one: int, other: int) -> bool:
    if not np.array_equal(problem.stage_s[one], problem.stage_s[other]):
        return False
    exchanged = np.arange(problem.n_boards + 1)
    exchanged[[one, other]] = other, one
    return np.array_equal(problem.link_s, problem.link_s[np.ix_(exchanged, exchanged)])

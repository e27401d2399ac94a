"""What the steps of a chain cost by type of board, as a search adds them up."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from partitioning.planning.judge import Objective
from partitioning.planning.problem import ChainProblem

Array = np.ndarray[Any, Any]


class StepCosts(NamedTuple):
    """What the steps of a chain cost, by type of board: all in seconds, say, or all in pairs kept as complex numbers.

    Attributes:
        stage: (n_types, n_positions, n_positions).
        link: (sender type, receiver type, n_positions); within a type, between two of its boards.
        first: (n_types,) from the dispatcher to a first board.
        last: (n_types,) from a last board to the dispatcher.
    """

    stage: Array
    link: Array
    first: Array
    last: Array


def seconds_by_type(problem: ChainProblem, types: Sequence[Sequence[int]]) -> StepCosts:
    """The seconds that steps are occupied, looked up by boards of each type."""
    return _by_type(problem, types, problem.link_s)


def pairs_by_type(
    problem: ChainProblem, types: Sequence[Sequence[int]], objective: Objective, limit_s: float
) -> StepCosts:
    """Steps that take limit_s at most as the first two costs that the objective adds up; the others as infinite.

    Those are (seconds until a frame has passed, bytes), or (joules, seconds) for energy, which needs a problem with joules.
    They are complex numbers: numpy orders those by real part and then by imaginary part.
    """
    seconds = seconds_by_type(problem, types)
    nothing, crossing = np.zeros(1), problem.crossing_bytes
    passing = _by_type(problem, types, problem.passing_s)
    major, minor = passing, StepCosts(nothing, crossing, crossing[0], crossing[-1])
    if objective is Objective.ENERGY:
        assert problem.stage_j is not None
        stage_j = problem.stage_j[[members[0] for members in types]]
        major, minor = StepCosts(stage_j, nothing, nothing, nothing), passing
    return StepCosts(*(_paired(s <= limit_s, a, b) for s, a, b in zip(seconds, major, minor)))


def _by_type(problem: ChainProblem, types: Sequence[Sequence[int]], between_s: Array) -> StepCosts:
    firsts = [members[0] for members in types]
    link = between_s[np.ix_(firsts, firsts)]
    for t, members in enumerate(types):
        link[t, t] = between_s[members[0], members[1]] if len(members) > 1 else np.inf
    first, last = between_s[problem.dispatcher, firsts, 0], between_s[firsts, problem.dispatcher, problem.end]
    return StepCosts(problem.stage_s[firsts], link, first, last)


def _paired(is_possible: Array, major: Array, minor: Array) -> Array:
    """(major, minor) where a step is possible, infinite where not."""
    pairs = np.empty(is_possible.shape, complex)
    pairs.real = np.where(is_possible, major, np.inf)
    pairs.imag = np.where(is_possible, minor, 0.0)
    return pairs

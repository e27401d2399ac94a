"""Boards are taken for alike where `group_boards` takes them for alike."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.planning_instances import cluster_problem, random_problem
from partitioning.planning import group_boards
from partitioning.planning.cluster_symmetry import NOBODY, predecessors


@pytest.mark.parametrize("seed", range(10))
def test_predecessors_follow_the_groups(seed: int) -> None:
    generator = np.random.default_rng(seed)
    problem = random_problem(generator, 4, 8, int(generator.integers(1, 9)))
    expected = np.full(8, NOBODY)
    for members in group_boards(problem):
        expected[members[1:]] = members[:-1]
    assert predecessors(problem).tolist() == expected.tolist()


def test_boards_with_links_of_their_own_are_not_alike() -> None:
    problem = cluster_problem(np.random.default_rng(0), 4, 6, equal_speeds=True, wireless=True)
    assert (predecessors(problem) == NOBODY).all()


def test_one_way_links_tell_boards_apart() -> None:
    problem = random_problem(np.random.default_rng(0), 4, 2, 1)
    problem.link_s[0, 1] += 1
    assert predecessors(problem).tolist() == [NOBODY, NOBODY]

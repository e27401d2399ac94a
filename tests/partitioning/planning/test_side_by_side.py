"""Chains side by side: equal to trying every division of the boards into groups."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from benchmarks.planning_instances import every_chain, random_problem
from partitioning.planning import ChainProblem, ChainSearch, choose_side_by_side, judge_chain
from partitioning.planning.problem import InfeasiblePlanError


def divisions(boards: tuple[int, ...]) -> Iterator[list[tuple[int, ...]]]:
    """Every way to put the boards into groups, some boards into none."""
    if not boards:
        yield []
        return
    first, rest = boards[0], boards[1:]
    for groups in divisions(rest):
        yield groups  # the first board is left out
        yield [(first,), *groups]
        for index, group in enumerate(groups):
            yield [*groups[:index], (first, *group), *groups[index + 1 :]]


def best_rate_by_trying(problem: ChainProblem) -> float:
    fastest: dict[tuple[int, ...], float] = {}
    for chain in every_chain(problem):
        group = tuple(sorted(chain.boards))
        fastest[group] = min(fastest.get(group, np.inf), judge_chain(problem, chain).bottleneck_s)
    rates = {group: 1 / seconds for group, seconds in fastest.items() if np.isfinite(seconds)}
    return max(
        (sum(rates.get(g, 0.0) for g in groups) for groups in divisions(tuple(range(problem.n_boards)))), default=0.0
    )


@pytest.mark.parametrize("seed", range(5))
def test_choice_equals_trying_every_division(seed: int) -> None:
    generator = np.random.default_rng(seed)
    several = 0
    for _ in range(40):
        n_boards = int(generator.integers(1, 5))
        problem = random_problem(
            generator, int(generator.integers(1, 6)), n_boards, int(generator.integers(1, n_boards + 1))
        )
        expected = best_rate_by_trying(problem)
        search = ChainSearch(problem)
        if expected == 0:
            with pytest.raises(InfeasiblePlanError):
                choose_side_by_side(search)
            continue
        chains = choose_side_by_side(search)
        several += len(chains) > 1
        used = [board for chain in chains for board in chain.boards]
        assert len(used) == len(set(used))
        assert sum(1 / judge_chain(problem, c).bottleneck_s for c in chains) == pytest.approx(expected, rel=1e-12)
    assert several > 0


def test_whole_model_on_every_board_wins_when_memory_allows() -> None:
    # Three equal boards, two operators of 1 s and 2 s: a chain of two gives 1/2, replicas give 3 x 1/3.
    stage_s = np.array([[[np.inf, 1, 3], [np.inf, np.inf, 2], [np.inf] * 3]] * 3)
    search = ChainSearch(ChainProblem(stage_s, np.zeros((4, 4, 3)), np.zeros(3)))
    assert sorted(chain.boards for chain in choose_side_by_side(search)) == [(0,), (1,), (2,)]


def test_fewer_chains_are_chosen_among_equals() -> None:
    # Two boards, two operators of 1 s each: one chain of both answers once a second, as two replicas of 2 s do.
    stage_s = np.array([[[np.inf, 1, 2], [np.inf, np.inf, 1], [np.inf] * 3]] * 2)
    search = ChainSearch(ChainProblem(stage_s, np.zeros((3, 3, 3)), np.zeros(3)))
    assert [len(chain.boards) for chain in choose_side_by_side(search)] == [2]

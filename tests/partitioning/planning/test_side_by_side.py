"""Chains side by side: equal to trying every division of the boards into groups."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from benchmarks.planning_instances import every_chain, random_problem
from partitioning.planning import (
    Chain,
    ChainProblem,
    ChainSearch,
    Objective,
    choose_for_each_number,
    choose_side_by_side,
    fix_cuts,
    judge_chain,
)
from partitioning.planning.problem import InfeasiblePlanError, PlanningError
from partitioning.planning.side_by_side import SideBySide


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


def rates_by_trying(problem: ChainProblem, max_boards: int) -> dict[int, float]:
    """Number of chains -> the greatest summed rate over every division of the boards into so many groups."""
    fastest: dict[tuple[int, ...], float] = {}
    for chain in every_chain(problem):
        group = tuple(sorted(chain.boards))
        fastest[group] = min(fastest.get(group, np.inf), judge_chain(problem, chain).bottleneck_s)
    rates = {group: 1 / seconds for group, seconds in fastest.items() if np.isfinite(seconds)}
    found: dict[int, float] = {}
    for groups in divisions(tuple(range(problem.n_boards))):
        groups = [tuple(sorted(group)) for group in groups]
        if groups and all(group in rates for group in groups) and sum(map(len, groups)) <= max_boards:
            found[len(groups)] = max(found.get(len(groups), 0.0), sum(rates[group] for group in groups))
    return found


def summed_rate(problem: ChainProblem, chains: list[Chain]) -> float:
    used = [board for chain in chains for board in chain.boards]
    assert len(used) == len(set(used))
    return sum(1 / judge_chain(problem, chain).bottleneck_s for chain in chains)


@pytest.mark.parametrize("seed", range(5))
def test_choice_equals_trying_every_division_for_each_number_of_chains(seed: int) -> None:
    generator = np.random.default_rng(seed)
    several, limited, fixed, infeasible = 0, 0, 0, 0
    for _ in range(60):
        n_boards = int(generator.integers(1, 5))
        problem = random_problem(
            generator, int(generator.integers(1, 6)), n_boards, int(generator.integers(1, n_boards + 1))
        )
        if problem.end > 1 and generator.random() < 0.4:
            problem, fixed = fix_cuts(problem, [1]), fixed + 1
        max_boards = int(generator.integers(1, n_boards + 1))
        expected = rates_by_trying(problem, max_boards)
        search = ChainSearch(problem, max_boards)
        side_by_side = SideBySide(search)
        assert side_by_side.rates_per_s() == pytest.approx(expected, rel=1e-12)
        for n_chains in range(1, n_boards + 1):
            if n_chains not in expected:
                infeasible += 1
                with pytest.raises(InfeasiblePlanError, match=f"{n_chains} times side by side"):
                    choose_side_by_side(search, n_chains)
        chosen = choose_for_each_number(search)
        assert {n: len(chains) for n, chains in chosen.items()} == {n: n for n in expected}
        for n_chains, chains in chosen.items():
            assert summed_rate(problem, chains) == pytest.approx(expected[n_chains], rel=1e-12)
            assert sum(len(chain.boards) for chain in chains) <= max_boards
        if expected:
            best = choose_side_by_side(search)
            assert summed_rate(problem, best) == pytest.approx(max(expected.values()), rel=1e-12)
            several += len(best) > 1
        fewer = rates_by_trying(problem, max_boards - 1)
        assert side_by_side.rates_per_s(max_boards - 1) == pytest.approx(fewer, rel=1e-12)
        for n_chains in fewer:
            chains = side_by_side.chains(n_chains, max_boards - 1)
            assert summed_rate(problem, chains) == pytest.approx(fewer[n_chains], rel=1e-12)
            assert sum(len(chain.boards) for chain in chains) < max_boards
            limited += 1
    assert min(several, limited, fixed, infeasible) > 2


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


def test_number_whose_answers_come_first_is_chosen_among_equals() -> None:
    # As above, but what goes from board to board takes 0.01 s: one chain answers after 2.03 s, each replica after 2.02 s.
    stage_s = np.array([[[np.inf, 1, 2], [np.inf, np.inf, 1], [np.inf] * 3]] * 2)
    search = ChainSearch(ChainProblem(stage_s, np.full((3, 3, 3), 0.01), np.ones(3)))
    assert [len(chain.boards) for chain in choose_side_by_side(search)] == [1, 1]


def test_number_that_moves_fewer_bytes_is_chosen_among_equals_in_rate_and_latency() -> None:
    stage_s = np.array([[[np.inf, 1, 2], [np.inf, np.inf, 1], [np.inf] * 3]] * 2)
    search = ChainSearch(ChainProblem(stage_s, np.zeros((3, 3, 3)), np.ones(3)))
    assert [len(chain.boards) for chain in choose_side_by_side(search)] == [1, 1]


def test_one_chain_is_the_one_that_the_search_alone_prefers() -> None:
    for seed in range(20):
        problem = random_problem(np.random.default_rng(seed), 5, 3, 2)
        search = ChainSearch(problem)
        if np.isfinite(search.bottleneck_s).any():
            assert choose_side_by_side(search, 1) == [search.best()]


def test_fewer_boards_are_used_among_equals() -> None:
    # Two replicas that a link of 2 s limits to one answer in 2 s each: the third and fourth board change nothing.
    stage_s = np.array([[[np.inf, 1, 2], [np.inf, np.inf, 1], [np.inf] * 3]] * 4)
    link_s = np.zeros((5, 5, 3))
    link_s[:, 4, 2] = 2.0
    chains = choose_side_by_side(ChainSearch(ChainProblem(stage_s, link_s, np.zeros(3))), 2)
    assert [len(chain.boards) for chain in chains] == [1, 1]


def test_steps_that_take_no_time_give_a_finite_choice() -> None:
    stage_s = np.array([[[np.inf, 0.0], [np.inf, np.inf]]] * 2)
    search = ChainSearch(ChainProblem(stage_s, np.zeros((3, 3, 2)), np.zeros(2)))
    assert len(choose_side_by_side(search)) == 2


def test_other_objectives_and_pins_are_refused() -> None:
    problem = random_problem(np.random.default_rng(0), 5, 3, 3)
    for search in (ChainSearch(problem, objective=Objective.LATENCY), ChainSearch(problem, pins={0: 1})):
        with pytest.raises(PlanningError, match="for throughput and without pins only"):
            choose_side_by_side(search)

"""The search is exact: equal to trying every chain, whatever the boards are called and however many are alike."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.planning_instances import cheapest_by_trying, integer_problem, random_problem
from partitioning.planning import Chain, ChainProblem, ChainSearch, group_boards, judge_chain
from partitioning.planning.problem import InfeasiblePlanError, PlanningError


@pytest.mark.parametrize("seed", range(20))
def test_search_equals_trying_every_chain_on_a_hundred_instances(seed: int) -> None:
    generator = np.random.default_rng(seed)
    infeasible = 0
    for _ in range(100):
        n_boards = int(generator.integers(1, 5))
        problem = random_problem(
            generator, int(generator.integers(1, 6)), n_boards, int(generator.integers(1, n_boards + 1))
        )
        expected = cheapest_by_trying(problem)
        search = ChainSearch(problem)
        if np.isinf(expected.bottleneck_s):
            infeasible += 1
            with pytest.raises(InfeasiblePlanError, match="too big"):
                search.best()
            continue
        found = judge_chain(problem, search.best())
        assert found.bottleneck_s == expected.bottleneck_s
        assert found.latency_s == pytest.approx(expected.latency_s, rel=1e-12)
    assert infeasible < 60


@pytest.mark.parametrize("seed", range(4))
def test_ties_are_broken_by_latency_and_then_by_bytes(seed: int) -> None:
    generator = np.random.default_rng(100 + seed)
    for _ in range(60):
        problem = integer_problem(generator, int(generator.integers(2, 6)), int(generator.integers(1, 5)))
        assert judge_chain(problem, ChainSearch(problem).best()) == cheapest_by_trying(problem)


def test_several_boards_of_a_type_are_costed_as_themselves() -> None:
    # The shape on which a published planner takes a type's number for a board's: two fast boards, one slow, and the second
    # type's costs must be the slow board's. By hand: fast, fast gives max(4, 4); with B costed as A it would be 200.
    stage_s = np.full((3, 3, 3), np.inf)
    for board, op_s in enumerate(((4.0, 4.0), (4.0, 4.0), (200.0, 200.0))):
        stage_s[board, 0, 1], stage_s[board, 1, 2] = op_s
        stage_s[board, 0, 2] = sum(op_s)
    problem = ChainProblem(stage_s, np.zeros((4, 4, 3)), np.zeros(3))
    assert group_boards(problem) == [[0, 1], [2]]
    chain = ChainSearch(problem).best()
    assert judge_chain(problem, chain).bottleneck_s == 4.0
    assert set(chain.boards) == {0, 1}


def test_optimum_is_the_same_when_boards_are_renamed() -> None:
    generator = np.random.default_rng(7)
    for _ in range(30):
        problem = random_problem(generator, 7, 5, int(generator.integers(2, 6)))
        order = generator.permutation(5)
        with_dispatcher = np.concatenate([order, [5]])
        renamed = ChainProblem(
            problem.stage_s[order],
            problem.link_s[np.ix_(with_dispatcher, with_dispatcher)],
            problem.crossing_bytes,
        )
        assert ChainSearch(renamed).bottleneck_s.min() == ChainSearch(problem).bottleneck_s.min()


def test_each_selection_has_its_own_best_chain() -> None:
    problem = random_problem(np.random.default_rng(3), 6, 4, 4)
    search = ChainSearch(problem)
    for selection, counts in enumerate(search.selections):
        if np.isfinite(search.bottleneck_s[selection]):
            chain = search.best(selection)
            assert (
                sorted(chain.boards) == [search.types[t][0] for t in np.flatnonzero(counts)] or len(chain.boards) == 4
            )
            assert judge_chain(problem, chain).bottleneck_s == search.bottleneck_s[selection]


def test_boards_that_do_not_help_are_left_out() -> None:
    # A second board would halve the compute, but its link costs more than the whole model on one.
    stage_s = np.array([[[np.inf, 1, 2], [np.inf, np.inf, 1], [np.inf] * 3]] * 2)
    link_s = np.zeros((3, 3, 3))
    link_s[0, 1] = link_s[1, 0] = 5.0
    assert ChainSearch(ChainProblem(stage_s, link_s, np.ones(3))).best() == Chain((0,), (0, 2))


def test_number_of_boards_can_be_limited() -> None:
    problem = integer_problem(np.random.default_rng(11), 8, 4)
    for most in (1, 2, 3):
        assert len(ChainSearch(problem, max_boards=most).best().boards) <= most


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda s, li, b: (s[:, :-1], li, b), "stage_s has shape"),
        (lambda s, li, b: (s, li[:-1], b), "link_s has shape"),
        (lambda s, li, b: (s, li, b[:-1]), "crossing_bytes has shape"),
        (lambda s, li, b: (s, li - 10, b), "negative"),
        (lambda s, li, b: (np.where(np.isinf(s), 1, s), li, b), "must be inf"),
    ],
)
def test_costs_that_make_no_sense_are_refused(change, words: str) -> None:  # type: ignore[no-untyped-def]
    good = random_problem(np.random.default_rng(0), 4, 3, 3)
    with pytest.raises(PlanningError, match=words):
        ChainProblem(*change(good.stage_s, good.link_s, good.crossing_bytes))

"""The search is exact: equal to trying every chain, whatever the boards are called and however many are alike."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from benchmarks.planning_instances import cheapest_by_trying, every_chain, integer_problem, random_problem
from partitioning.planning import Chain, ChainProblem, ChainSearch, Objective, fix_cuts, group_boards, judge_chain
from partitioning.planning.problem import InfeasiblePlanError, PlanningError


def with_joules(generator: np.random.Generator, problem: ChainProblem) -> ChainProblem:
    """The same boards, some of which use the same joules and most not."""
    shape: tuple[int, ...] = problem.stage_s.shape
    stage_j = generator.integers(1, 6, shape).astype(np.float64)
    for board in range(1, problem.n_boards):
        if generator.random() < 0.5:
            stage_j[board] = stage_j[0]
    stage_j[:, 0, 0] = np.inf  # what is not possible may cost anything
    return replace(problem, stage_j=stage_j)


def renamed(problem: ChainProblem, order: Any) -> ChainProblem:
    """Board order[k] of the problem as board k."""
    ends = np.concatenate([order, [problem.n_boards]])
    return ChainProblem(
        problem.stage_s[order],
        problem.link_s[np.ix_(ends, ends)],
        problem.crossing_bytes,
        None if problem.stage_j is None else problem.stage_j[order],
        None if problem.delay_s is None else problem.delay_s[np.ix_(ends, ends)],
    )


def with_delays(generator: np.random.Generator, problem: ChainProblem) -> ChainProblem:
    """With whole seconds on the way between any two boards."""
    size = problem.n_boards + 1
    return replace(problem, delay_s=generator.integers(0, 4, (size, size)).astype(np.float64))


def least_key(
    problem: ChainProblem,
    objective: Objective,
    pins: Mapping[int, int] | None = None,
    numbers: range | None = None,
) -> tuple[float, ...] | None:
    """The least key over every chain that keeps to the pins and has one of these numbers of boards; None if there is none."""
    pins = pins or {}
    keys = [
        objective.key(judge_chain(problem, chain))
        for chain in every_chain(problem)
        if (numbers is None or len(chain.boards) in numbers)
        and all(part < len(chain.boards) and chain.boards[part] == board for part, board in pins.items())
        and np.isfinite(judge_chain(problem, chain).bottleneck_s)
    ]
    return min(keys, default=None)


def draw_pins(generator: np.random.Generator, problem: ChainProblem, most_parts: int) -> dict[int, int]:
    """Up to two pins that some chain can have, as far as numbers go."""
    n_pins = int(generator.integers(0, 1 + min(2, most_parts)))
    parts, boards = generator.permutation(most_parts)[:n_pins], generator.permutation(problem.n_boards)[:n_pins]
    return dict(zip(parts.tolist(), boards.tolist()))


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


@pytest.mark.parametrize("objective", Objective)
@pytest.mark.parametrize("seed", range(6))
def test_search_equals_trying_every_chain_that_keeps_to_pins_limits_and_cuts(objective: Objective, seed: int) -> None:
    # Whole numbers throughout: sums are exact, so second and third keys must be equal too.
    generator = np.random.default_rng(200 + seed)
    seen = {"infeasible": 0, "pinned": 0, "fixed": 0, "limited": 0}
    for _ in range(80):
        n_boards = int(generator.integers(1, 5))
        problem = integer_problem(generator, int(generator.integers(1, 6)), n_boards)
        problem = with_delays(generator, problem) if generator.random() < 0.5 else problem
        kinds = np.arange(n_boards) % int(generator.integers(1, n_boards + 1))
        problem = with_joules(generator, renamed(problem, kinds) if generator.random() < 0.3 else problem)
        problem.stage_s[generator.random(problem.stage_s.shape) < 0.1] = np.inf
        if fixed := problem.end > 1 and generator.random() < 0.5:
            n_cuts = int(generator.integers(0, problem.end))
            cuts = np.sort(generator.permutation(np.arange(1, problem.end))[:n_cuts]).tolist()
            problem = fix_cuts(problem, cuts)
        max_boards = int(generator.integers(1, n_boards + 1))
        pins = draw_pins(generator, problem, min(max_boards, problem.end))
        search = ChainSearch(problem, max_boards, objective, pins)
        for least, most in ((1, max_boards), (2, 2), (1, max_boards - 1), (max_boards, max_boards)):
            expected = least_key(problem, objective, pins, range(least, min(most, max_boards) + 1))
            if expected is None:
                with pytest.raises(InfeasiblePlanError, match="too big"):
                    search.best(least_boards=least, most_boards=most)
                seen["infeasible"] += 1
                continue
            chain = search.best(least_boards=least, most_boards=most)
            assert objective.key(judge_chain(problem, chain)) == expected
            assert least <= len(chain.boards) <= most
            assert all(chain.boards[part] == board for part, board in pins.items())
            assert not fixed or chain.positions[1:-1] == tuple(cuts)
            seen["pinned"] += bool(pins)
            seen["fixed"] += fixed
            seen["limited"] += max_boards < n_boards
    assert min(seen.values()) >= 10, seen


@pytest.mark.parametrize("objective", Objective)
def test_optimum_is_the_same_when_boards_are_renamed_and_pins_with_them(objective: Objective) -> None:
    generator = np.random.default_rng(7)
    for _ in range(30):
        problem = with_joules(generator, random_problem(generator, 7, 5, int(generator.integers(2, 6))))
        pins = draw_pins(generator, problem, 4)
        order = generator.permutation(5)
        new_name = {int(board): name for name, board in enumerate(order)}
        before = ChainSearch(problem, objective=objective, pins=pins)
        after = ChainSearch(
            renamed(problem, order), objective=objective, pins={p: new_name[board] for p, board in pins.items()}
        )
        assert after.bottleneck_s.min() == before.bottleneck_s.min()
        try:
            expected = objective.key(judge_chain(problem, before.best()))
        except InfeasiblePlanError:
            with pytest.raises(InfeasiblePlanError):
                after.best()
            continue
        assert objective.key(judge_chain(after.problem, after.best())) == pytest.approx(expected, rel=1e-12)


def test_time_on_the_way_counts_in_the_latency_and_not_in_the_slowest_step() -> None:
    # Two boards halve the slowest step, and the way between them costs more than that saves one frame.
    stage_s = np.array([[[np.inf, 1, 2], [np.inf, np.inf, 1], [np.inf] * 3]] * 2)
    delay_s = np.zeros((3, 3))
    delay_s[0, 1] = delay_s[1, 0] = 5.0
    problem = ChainProblem(stage_s, np.zeros((3, 3, 3)), np.zeros(3), delay_s=delay_s)
    chain = ChainSearch(problem).best()
    assert len(chain.boards) == 2
    assert judge_chain(problem, chain).bottleneck_s == 1
    assert judge_chain(problem, chain).latency_s == 7
    assert len(ChainSearch(problem, objective=Objective.LATENCY).best().boards) == 1
    assert group_boards(problem) == [[0, 1]]
    delay_s[0, 2] = 1.0
    assert group_boards(ChainProblem(stage_s, np.zeros((3, 3, 3)), np.zeros(3), delay_s=delay_s)) == [[0], [1]]


def test_least_energy_is_not_the_greatest_throughput() -> None:
    # One board does it all for 3 J in 4 s; two halve the time for 4 J.
    stage_s = np.array([[[np.inf, 2, 4], [np.inf, np.inf, 2], [np.inf] * 3]] * 2)
    stage_j = np.array([[[0, 2, 3], [0, 0, 2], [0] * 3]] * 2, float)
    problem = ChainProblem(stage_s, np.zeros((3, 3, 3)), np.ones(3), stage_j)
    assert ChainSearch(problem, objective=Objective.ENERGY).best() == Chain((0,), (0, 2))
    assert ChainSearch(problem).best() == Chain((0, 1), (0, 1, 2))
    assert judge_chain(problem, Chain((0, 1), (0, 1, 2))).energy_j == 4


def test_boards_of_unequal_joules_are_of_one_type_unless_joules_count() -> None:
    problem = random_problem(np.random.default_rng(0), 3, 2, 1)
    stage_j = np.ones(problem.stage_s.shape) * np.array([1.0, 2.0])[:, None, None]
    problem = replace(problem, stage_j=stage_j)
    assert ChainSearch(problem).types == [[0, 1]]
    assert ChainSearch(problem, objective=Objective.ENERGY).types == [[0], [1]]


def test_pinned_boards_are_neither_counted_nor_exchanged() -> None:
    problem = random_problem(np.random.default_rng(0), 6, 4, 1)
    search = ChainSearch(problem, pins={1: 2})
    assert search.types == [[0, 1, 3], [2]]
    assert search.selections.tolist() == [[0, 0], [1, 0], [2, 0], [3, 0]]
    assert search.n_parts.tolist() == [1, 2, 3, 4]


@pytest.mark.parametrize(
    ("pins", "words"),
    [
        ({0: 1, 1: 1}, "parts 0, 1 are pinned to the same board 1"),
        ({3: 0}, "part 3 is pinned to board 0, the chain has parts 0 to 2 at most"),
        ({-1: 0}, "part -1 is pinned"),
        (
            {0: 3, 1: -1},
            "part 0 is pinned to board 3, which is none of the boards 0 to 2; part 1 is pinned to board -1",
        ),
    ],
)
def test_pins_that_no_chain_can_have_are_refused(pins: dict[int, int], words: str) -> None:
    with pytest.raises(PlanningError, match=words):
        ChainSearch(random_problem(np.random.default_rng(0), 6, 3, 3), pins=pins)


def test_pins_beyond_the_boards_allowed_or_the_pieces_are_refused() -> None:
    with pytest.raises(PlanningError, match="parts 0 to 1 at most"):
        ChainSearch(random_problem(np.random.default_rng(0), 6, 3, 3), max_boards=2, pins={2: 0})
    with pytest.raises(PlanningError, match="parts 0 to 1 at most"):
        ChainSearch(random_problem(np.random.default_rng(0), 2, 3, 3), pins={2: 0})


def test_least_energy_without_joules_and_no_boards_are_refused() -> None:
    problem = random_problem(np.random.default_rng(0), 6, 3, 3)
    with pytest.raises(PlanningError, match="needs the joules"):
        ChainSearch(problem, objective=Objective.ENERGY)
    with pytest.raises(PlanningError, match="at most 0 boards"):
        ChainSearch(problem, max_boards=0)


@pytest.mark.parametrize("cuts", [[0], [4], [2, 1], [1, 1], [5], [-1]])
def test_cuts_that_do_not_rise_within_the_model_are_refused(cuts: list[int]) -> None:
    with pytest.raises(PlanningError, match="expected to rise within 1 to 3"):
        fix_cuts(random_problem(np.random.default_rng(0), 4, 3, 3), cuts)


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
        (lambda s, li, b: (s, li, b, s[:1]), "stage_j has shape"),
        (lambda s, li, b: (s, li, b, s * np.nan), "stage_j holds negative costs or NaN"),
    ],
)
def test_costs_that_make_no_sense_are_refused(change, words: str) -> None:  # type: ignore[no-untyped-def]
    good = random_problem(np.random.default_rng(0), 4, 3, 3)
    with pytest.raises(PlanningError, match=words):
        ChainProblem(*change(good.stage_s, good.link_s, good.crossing_bytes))

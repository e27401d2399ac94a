"""One call: the right planner for what is wished, and the plans next to the best one."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest

from benchmarks.planning_instances import random_problem
from partitioning.planning import (
    Chain,
    ChainProblem,
    ChainSearch,
    InfeasiblePlanError,
    Objective,
    PlanningError,
    PlanTooLargeError,
    SideBySide,
    Wishes,
    is_exact,
    judge_chain,
    plan_chains,
)


def ample(n_boards: int, *, n_types: int | None = None, n_operators: int = 6) -> ChainProblem:
    """Boards that can all hold the whole model."""
    problem = random_problem(np.random.default_rng(5), n_operators, n_boards, n_types or n_boards)
    rows, columns = np.triu_indices(n_operators + 1, 1)
    stage_s = problem.stage_s.copy()
    stage_s[:, rows, columns] = np.minimum(stage_s[:, rows, columns], 1.0 * (columns - rows))
    return replace(problem, stage_s=stage_s)


@dataclass(frozen=True)
class FoundPlan:
    chain: Chain
    lower_bound_s: float
    proven: bool


def planner_of(chain: Chain, lower_bound_s: float, *, proven: bool):  # type: ignore[no-untyped-def]
    """A planner for many boards that always finds this, and notes what it was asked."""
    asked: list[int | None] = []

    def plan(problem: ChainProblem, *, max_boards: int | None = None) -> FoundPlan:
        asked.append(max_boards)
        return FoundPlan(chain, lower_bound_s, proven)

    return plan, asked


def test_plan_for_throughput_has_the_best_number_of_chains_and_its_neighbours() -> None:
    problem = ample(4)
    side_by_side = SideBySide(ChainSearch(problem))
    rates = side_by_side.rates_per_s()
    plan = plan_chains(problem)
    assert plan.chains == tuple(side_by_side.chains())
    assert plan.costs == tuple(judge_chain(problem, chain) for chain in plan.chains)
    assert plan.rate_per_s == pytest.approx(max(rates.values()))
    assert plan.proven
    assert plan.lower_bound == plan.value(Objective.THROUGHPUT) == pytest.approx(1 / plan.rate_per_s)
    assert plan.other_number is not None
    del rates[len(plan.chains)]
    assert len(plan.other_number.chains) == max(rates, key=rates.__getitem__)
    assert plan.other_number.rate_per_s == pytest.approx(max(rates.values()))
    assert plan.fewer_boards is not None
    assert plan.fewer_boards.n_boards < plan.n_boards
    assert plan.fewer_boards.rate_per_s == pytest.approx(max(side_by_side.rates_per_s(plan.n_boards - 1).values()))


def test_plan_keeps_to_the_number_of_chains_and_of_boards() -> None:
    problem = ample(4)
    plan = plan_chains(problem, Wishes(n_chains=2, max_boards=3))
    assert len(plan.chains) == 2
    assert plan.n_boards <= 3
    assert plan.fewer_boards is None or len(plan.fewer_boards.chains) == 2
    assert plan.other_number is not None
    assert len(plan.other_number.chains) in (1, 3)
    single = plan_chains(problem, Wishes(n_chains=1))
    assert single.chains == (ChainSearch(problem).best(),)


@pytest.mark.parametrize("objective", [Objective.LATENCY, Objective.ENERGY])
def test_plan_for_latency_or_energy_is_one_chain(objective: Objective) -> None:
    problem = ample(3)
    problem = replace(problem, stage_j=np.where(np.isfinite(problem.stage_s), problem.stage_s * 2, 0.0))
    plan = plan_chains(problem, Wishes(objective))
    assert plan.chains == (ChainSearch(problem, objective=objective).best(),)
    assert plan.lower_bound == plan.value(objective) == objective.key(plan.costs[0])[0]
    assert plan.other_number is None


def test_plan_with_pins_is_one_chain_and_its_neighbour_keeps_to_them() -> None:
    plan = plan_chains(ample(4), Wishes(pins={1: 3}, max_boards=3))
    assert plan.chains[0].boards[1] == 3
    assert plan.fewer_boards is None or plan.fewer_boards.chains[0].boards[1] == 3
    assert plan.other_number is None


def test_neighbours_are_missing_when_there_are_none() -> None:
    plan = plan_chains(ample(1))
    assert (plan.n_boards, plan.fewer_boards, plan.other_number) == (1, None, None)


def test_rate_is_infinite_when_steps_take_no_time() -> None:
    plan = plan_chains(ChainProblem(np.array([[[np.inf, 0.0], [np.inf, np.inf]]]), np.zeros((2, 2, 2)), np.zeros(2)))
    assert plan.rate_per_s == np.inf
    assert plan.lower_bound == 0


def test_infeasible_wishes_are_told_apart_from_senseless_ones() -> None:
    problem = ample(3)
    problem.stage_s[:] = np.inf
    for wishes in (Wishes(), Wishes(Objective.LATENCY), Wishes(pins={0: 0})):
        with pytest.raises(InfeasiblePlanError):
            plan_chains(problem, wishes)
    with pytest.raises(PlanningError, match="0 chains"):
        Wishes(n_chains=0)
    for objective, pins in ((Objective.LATENCY, {}), (Objective.ENERGY, {}), (Objective.THROUGHPUT, {0: 1})):
        with pytest.raises(PlanningError, match="Ask for one chain"):
            Wishes(objective, pins=pins, n_chains=2)
        assert Wishes(objective, pins=pins, n_chains=1).n_chains == 1


def test_size_of_the_exact_search_counts_types_and_not_boards() -> None:
    assert is_exact(ample(13, n_operators=100))
    assert not is_exact(ample(14, n_operators=100))
    assert is_exact(ample(50, n_types=3, n_operators=100))
    # Of fourteen boards three are pinned: eleven are left to choose from.
    assert is_exact(ample(14, n_operators=100), Wishes(pins={0: 0, 1: 1, 2: 2}))


def test_joules_make_the_search_larger_only_where_they_count() -> None:
    problem = ample(20, n_types=1)
    joules = replace(problem, stage_j=np.arange(20.0)[:, None, None] * np.ones(problem.stage_s.shape))
    assert is_exact(joules)
    assert not is_exact(joules, Wishes(Objective.ENERGY))


def test_many_unlike_boards_go_to_the_planner_for_many() -> None:
    problem = ample(24)
    chain = Chain((3, 1), (0, 3, 6))
    cost = judge_chain(problem, chain)
    planner, asked = planner_of(chain, cost.bottleneck_s / 2, proven=False)
    plan = plan_chains(problem, Wishes(n_chains=1, max_boards=5), planner)
    assert asked == [5]
    assert (plan.chains, plan.costs) == ((chain,), (cost,))
    assert plan.lower_bound == cost.bottleneck_s / 2
    assert not plan.proven
    assert plan.other_number is not None
    assert len(plan.other_number.chains) == 5
    planner, _ = planner_of(chain, cost.bottleneck_s, proven=True)
    assert plan_chains(problem, Wishes(n_chains=1), planner).proven


def test_many_boards_that_hold_the_whole_model_beat_a_chain() -> None:
    problem = ample(24)
    chain = Chain((3, 1), (0, 3, 6))
    planner, _ = planner_of(chain, 0.25, proven=True)
    plan = plan_chains(problem, Wishes(max_boards=20), planner)
    assert len(plan.chains) == 20
    alone_s = sorted(judge_chain(problem, Chain((b,), (0, 6))).bottleneck_s for b in range(24))
    assert plan.rate_per_s == pytest.approx(sum(1 / seconds for seconds in alone_s[:20]))
    assert plan.lower_bound == 0.25 / 20
    assert not plan.proven  # of several longer chains nothing is known
    assert plan.other_number is not None
    assert plan.other_number.chains == (chain,)


def test_chain_is_planned_when_at_most_one_of_many_boards_can_hold_the_whole_model() -> None:
    problem = ample(24)
    problem.stage_s[1:, 0, 6] = np.inf
    chain = Chain((3, 1), (0, 3, 6))
    planner, _ = planner_of(chain, 0.25, proven=True)
    plan = plan_chains(problem, large_planner=planner)
    assert (plan.chains, plan.other_number) == ((chain,), None)


@pytest.mark.parametrize("wishes", [Wishes(Objective.LATENCY), Wishes(pins={0: 0}), Wishes(n_chains=2)])
def test_what_only_the_exact_search_can_do_is_refused_for_too_many_boards(wishes: Wishes) -> None:
    planner, _ = planner_of(Chain((3, 1), (0, 3, 6)), 0.25, proven=True)
    with pytest.raises(PlanTooLargeError, match="24 boards of many kinds and 5 cuts"):
        plan_chains(ample(24), wishes, planner)


def test_many_unlike_boards_are_planned_without_naming_a_planner() -> None:
    plan = plan_chains(ample(24), Wishes(n_chains=1))
    assert plan.value(Objective.THROUGHPUT) >= plan.lower_bound > 0

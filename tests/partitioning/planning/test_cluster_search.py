"""Plans for clusters: the bound holds, proven plans are the best, and nothing depends on how boards are numbered."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from benchmarks.planning_instances import cheapest_by_trying, cluster_problem, integer_problem, random_problem
from partitioning.planning import Chain, ChainCost, ChainProblem, ChainSearch, judge_chain
from partitioning.planning.cluster_decision import Effort
from partitioning.planning.cluster_search import ClusterPlan, UndecidedPlanError, plan_cluster
from partitioning.planning.problem import InfeasiblePlanError, PlanningError

HARDLY_ANY = (Effort(rounds=1, width=1, precision=0.0),)
LITTLE = (Effort(rounds=10, width=5, precision=0.01), Effort(rounds=30, width=100, precision=0.0))


def check(problem: ChainProblem, optimum_s: float, efforts: tuple[Effort, ...], max_boards: int | None = None) -> str:
    """Asserts all that a plan promises; says how it came out."""
    try:
        plan = plan_cluster(problem, max_boards=max_boards, time_limit_s=np.inf, efforts=efforts)
    except InfeasiblePlanError:
        assert optimum_s == np.inf
        return "infeasible"
    except UndecidedPlanError:
        return "undecided"
    assert plan.cost == judge_chain(problem, plan.chain)
    assert len(set(plan.chain.boards)) == len(plan.chain.boards) <= (max_boards or problem.n_boards)
    assert plan.lower_bound_s <= optimum_s <= plan.cost.bottleneck_s
    assert plan.proven == (plan.lower_bound_s == plan.cost.bottleneck_s)
    return "proven" if plan.proven else "open"


@pytest.mark.parametrize("seed", range(10))
def test_plans_equal_trying_every_chain_on_a_hundred_instances(seed: int) -> None:
    generator = np.random.default_rng(seed)
    outcomes = []
    for _ in range(100):
        n_boards = int(generator.integers(1, 5))
        problem = random_problem(
            generator, int(generator.integers(1, 6)), n_boards, int(generator.integers(1, n_boards + 1))
        )
        outcomes.append(check(problem, cheapest_by_trying(problem).bottleneck_s, LITTLE))
    assert outcomes.count("proven") + outcomes.count("infeasible") == 100
    assert 0 < outcomes.count("infeasible") < 60


@pytest.mark.parametrize("seed", range(5))
def test_bound_holds_when_there_is_hardly_any_effort(seed: int) -> None:
    generator = np.random.default_rng(seed)
    outcomes = []
    for number in range(100):
        problem = random_problem(generator, 6, 5, 5) if number % 2 else integer_problem(generator, 6, 5)
        max_boards = int(generator.integers(1, 6))
        optimum_s = float(ChainSearch(problem, max_boards=max_boards).bottleneck_s.min())
        outcomes.append(check(problem, optimum_s, HARDLY_ANY, max_boards))
    assert {"proven", "open"} <= set(outcomes)


@pytest.mark.parametrize("seed", range(4))
def test_plans_equal_the_exact_search_on_nine_boards(seed: int) -> None:
    generator = np.random.default_rng(seed)
    for equal_speeds, wireless in itertools.product((False, True), repeat=2):
        problem = cluster_problem(generator, 20, 9, equal_speeds=equal_speeds, wireless=wireless)
        optimum_s = float(ChainSearch(problem).bottleneck_s.min())
        expected = "proven" if np.isfinite(optimum_s) else "infeasible"
        assert check(problem, optimum_s, LITTLE) == expected


def test_optimum_is_the_same_when_boards_are_renamed() -> None:
    generator = np.random.default_rng(11)
    for equal_speeds in (False, True):
        problem = cluster_problem(generator, 25, 12, equal_speeds=equal_speeds, wireless=True)
        order = generator.permutation(12)
        with_dispatcher = np.append(order, 12)
        renamed = ChainProblem(
            problem.stage_s[order], problem.link_s[np.ix_(with_dispatcher, with_dispatcher)], problem.crossing_bytes
        )
        plans = [plan_cluster(p, time_limit_s=np.inf) for p in (problem, renamed)]
        assert all(plan.proven for plan in plans)
        assert plans[0].cost.bottleneck_s == plans[1].cost.bottleneck_s


def test_same_cluster_gives_the_same_plan() -> None:
    problem = cluster_problem(np.random.default_rng(2), 30, 16, equal_speeds=False, wireless=True)
    assert plan_cluster(problem, time_limit_s=np.inf, efforts=LITTLE) == plan_cluster(
        problem, time_limit_s=np.inf, efforts=LITTLE
    )


def test_alike_boards_are_no_trouble() -> None:
    problem = random_problem(np.random.default_rng(4), 12, 8, 2)
    assert check(problem, float(ChainSearch(problem).bottleneck_s.min()), LITTLE) == "proven"


def test_plan_so_far_is_given_when_time_runs_out() -> None:
    problem = cluster_problem(np.random.default_rng(0), 40, 20, equal_speeds=False, wireless=True)
    ticks = itertools.count()  # seconds: one passes whenever the clock is read
    hurried = plan_cluster(problem, time_limit_s=100, clock=lambda: float(next(ticks)))
    assert next(ticks) < 150
    assert not hurried.proven
    assert 0 < hurried.lower_bound_s < hurried.cost.bottleneck_s
    assert plan_cluster(problem, time_limit_s=np.inf).cost.bottleneck_s <= hurried.cost.bottleneck_s


def test_undecided_is_not_called_infeasible() -> None:
    problem = cluster_problem(np.random.default_rng(0), 40, 20, equal_speeds=False, wireless=True)
    with pytest.raises(UndecidedPlanError, match="more time"):
        plan_cluster(problem, time_limit_s=-1.0)


def test_a_chain_of_no_boards_is_refused() -> None:
    with pytest.raises(PlanningError, match="expected 1 or more"):
        plan_cluster(integer_problem(np.random.default_rng(0), 3, 3), max_boards=0)


def test_gap_is_relative_to_the_bound() -> None:
    chain = Chain((0,), (0, 1))
    assert ClusterPlan(chain, ChainCost(3.0, 3.0, 0.0), 2.0).certified_gap == pytest.approx(0.5)
    assert ClusterPlan(chain, ChainCost(3.0, 3.0, 0.0), 3.0).certified_gap == 0.0
    assert ClusterPlan(chain, ChainCost(3.0, 3.0, 0.0), 0.0).certified_gap == np.inf
    assert ClusterPlan(chain, ChainCost(0.0, 0.0, 0.0), 0.0).certified_gap == 0.0

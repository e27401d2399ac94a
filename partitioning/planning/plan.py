"""The one call that plans: from a problem and what is wished to chains, what they cost, and the plans next to them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from partitioning.planning.board_types import count_selections, group_boards
from partitioning.planning.chain_search import ChainSearch
from partitioning.planning.judge import Chain, Objective, relevant_costs
from partitioning.planning.large_plan import LargePlanner, plan_large
from partitioning.planning.planned import ChainSet, PlannedChains, Wishes, judge_chains
from partitioning.planning.problem import ChainProblem, InfeasiblePlanError
from partitioning.planning.side_by_side import SideBySide

# The largest table (selections x types x positions) that is searched exactly: 100 cuts of 13 unlike boards are 11 million
# cells, which took 1.3 s and 270 MB; each further unlike board doubles both.
MOST_CELLS = 2**24

_ANY = Wishes()


def plan_chains(
    problem: ChainProblem, wishes: Wishes = _ANY, large_planner: LargePlanner | None = None
) -> PlannedChains:
    """The best plan: exact where the search is small enough (`is_exact`), else by the planner for many unlike boards.

    That one plans a single chain; the whole model on each board that can hold it is then tried as well.
    Args:
        large_planner: the planner for many; None for `cluster_search.plan_cluster` with its usual time limit.
    Raises:
        InfeasiblePlanError: these boards cannot hold the model as wished.
        PlanTooLargeError: too many unlike boards, and latency, energy, pins or a number of chains over one is wished.
        PlanningError: wishes that this problem cannot meet: impossible pins, energy without joules.
    """
    if not is_exact(problem, wishes):
        return plan_large(problem, wishes, large_planner or _cluster_planner())
    search = ChainSearch(problem, wishes.max_boards, wishes.objective, wishes.pins)
    return _plan_several(search, wishes.n_chains) if wishes.may_have_several else _plan_one(search)


def is_exact(problem: ChainProblem, wishes: Wishes = _ANY) -> bool:
    """Whether trying everything is small enough, MOST_CELLS being the limit."""
    pinned = wishes.pins.values()
    types = group_boards(relevant_costs(problem, wishes.objective), apart=pinned)
    return count_selections(types, pinned) * len(types) * (problem.end + 1) <= MOST_CELLS


def _plan_one(search: ChainSearch) -> PlannedChains:
    best = judge_chains(search.problem, [search.best()])
    fewer = _unless_infeasible(lambda: [search.best(most_boards=best.n_boards - 1)], search.problem)
    return PlannedChains(best.chains, best.costs, best.value(search.objective), proven=True, fewer_boards=fewer)


def _plan_several(search: ChainSearch, n_chains: int | None) -> PlannedChains:
    problem, side_by_side = search.problem, SideBySide(search)
    best = judge_chains(problem, side_by_side.chains(n_chains))
    rates = side_by_side.rates_per_s()
    others = [n for n in rates if n != len(best.chains)]
    return PlannedChains(
        best.chains,
        best.costs,
        lower_bound=best.value(Objective.THROUGHPUT),
        proven=True,
        fewer_boards=_unless_infeasible(lambda: side_by_side.chains(n_chains, best.n_boards - 1), problem),
        other_number=judge_chains(problem, side_by_side.chains(max(others, key=rates.__getitem__))) if others else None,
    )


def _cluster_planner() -> LargePlanner:
    from partitioning.planning.cluster_search import plan_cluster  # few plans need it

    return plan_cluster


def _unless_infeasible(plan: Callable[[], Sequence[Chain]], problem: ChainProblem) -> ChainSet | None:
    try:
        return judge_chains(problem, plan())
    except InfeasiblePlanError:
        return None

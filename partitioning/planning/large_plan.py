"""Plans over so many unlike boards that trying everything is out of reach."""

from __future__ import annotations

import math
from typing import Protocol

from partitioning.planning.judge import Chain, judge_chain, relevant_costs
from partitioning.planning.planned import ChainSet, PlannedChains, Wishes, judge_chains
from partitioning.planning.problem import ChainProblem, PlanningError


class PlanTooLargeError(PlanningError):
    """So many unlike boards cannot be planned for exactly, and what was asked for needs that."""


class LargePlan(Protocol):
    """One chain, found by other means than trying everything."""

    @property
    def chain(self) -> Chain:
        """The chain."""

    @property
    def lower_bound_s(self) -> float:
        """No chain's slowest step takes less."""

    @property
    def proven(self) -> bool:
        """No chain is better."""


class LargePlanner(Protocol):
    """Plans one chain of many unlike boards for throughput."""

    def __call__(self, problem: ChainProblem, *, max_boards: int | None = None) -> LargePlan:
        """The best chain that it can find."""


def plan_large(problem: ChainProblem, wishes: Wishes, large_planner: LargePlanner) -> PlannedChains:
    """One chain by the planner, or the whole model on each board that can hold it, if any number of chains will do.

    Raises: PlanTooLargeError: something else is wished.
    """
    if not wishes.may_have_several or wishes.n_chains not in (None, 1):
        raise PlanTooLargeError(
            f"{problem.n_boards} boards of many kinds and {problem.end - 1} cuts are too many for an exact plan, and only "
            "throughput by a single chain or any number of chains, without pins, is planned otherwise. "
            "Plan with fewer boards, or with boards that are measured once for each kind."
        )
    found = large_planner(relevant_costs(problem, wishes.objective), max_boards=wishes.max_boards)
    chain = judge_chains(problem, [found.chain])
    copies = _whole_on_each(problem, wishes.max_boards)
    plans = sorted([chain, *copies], key=lambda plan: plan.rate_per_s, reverse=True)
    best = plans[0] if wishes.n_chains is None else chain
    return PlannedChains(
        best.chains,
        best.costs,
        lower_bound=found.lower_bound_s / len(best.chains),
        proven=found.proven and wishes.n_chains == 1,
        other_number=next((plan for plan in plans if plan is not best), None),
    )


def _whole_on_each(problem: ChainProblem, max_boards: int | None) -> list[ChainSet]:
    """The whole model on each board that can hold it, on the fastest if not all are allowed; nothing if fewer than two."""
    alone = [Chain((board,), (0, problem.end)) for board in range(problem.n_boards)]
    cost = {chain: judge_chain(problem, chain) for chain in alone}
    able = sorted((chain for chain in alone if cost[chain].bottleneck_s < math.inf), key=cost.__getitem__)[:max_boards]
    return [judge_chains(problem, able)] if len(able) > 1 else []

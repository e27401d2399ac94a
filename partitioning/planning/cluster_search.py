"""One chain for a cluster too large to search exactly, with a lower bound that says how far from the best it can be."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from partitioning.planning.cluster_decision import Decider, Effort
from partitioning.planning.cluster_graph import ClusterCosts
from partitioning.planning.cluster_polish import shorten_chain
from partitioning.planning.judge import Chain, ChainCost, judge_chain
from partitioning.planning.problem import ChainProblem, InfeasiblePlanError, PlanningError

# Measured on 50 unlike boards and 100 cuts: twice the rounds for the same width gives better bounds, and good prices are
# what lets few labels find a chain.
EFFORTS = (
    Effort(rounds=40, width=50, precision=0.01),
    Effort(rounds=150, width=100, precision=0.003),
    Effort(rounds=300, width=300, precision=0.0),
    Effort(rounds=500, width=1000, precision=0.0),
    Effort(rounds=800, width=4000, precision=0.0),
)
# The step that is under way when time runs out took up to 0.13 s (50 boards, 100 cuts, a busy core); it should fit in too.
_SEARCH_SHARE = 0.95
# Each undecided limit halves what is open; after some of them more effort is worth more than another halving.
_MOST_UNDECIDED = 3


class UndecidedPlanError(PlanningError):
    """The search ended without a chain and without a proof that there is none."""


@dataclass(frozen=True)
class ClusterPlan:
    """A chain and how good it is: no chain's slowest step is faster than lower_bound_s."""

    chain: Chain
    cost: ChainCost
    lower_bound_s: float

    @property
    def proven(self) -> bool:
        """No chain is faster."""
        return self.cost.bottleneck_s <= self.lower_bound_s

    @property
    def certified_gap(self) -> float:
        """How much slower than the best chain this one can be at most: 0.02 is 2 %; inf if the bound is 0."""
        if self.proven:
            return 0.0
        return self.cost.bottleneck_s / self.lower_bound_s - 1 if self.lower_bound_s else float("inf")


def plan_cluster(
    problem: ChainProblem,
    *,
    max_boards: int | None = None,
    time_limit_s: float = 10.0,
    efforts: Sequence[Effort] = EFFORTS,
    clock: Callable[[], float] = time.monotonic,
) -> ClusterPlan:
    """Returns a chain whose slowest step is as fast as the search finds it, and a bound that no chain can beat.

    The slowest step is one of finitely many costs, so the search decides for a limit whether a chain stays within it, and
    bisects: `price_boards` proves limits too tight, `LabelSearch` finds chains or proves that there are none. An undecided
    limit counts as too tight while a chain is looked for, and as possible while the bound is raised; then both again with
    more effort, until they meet. Of the chains in the order found, the plan has the one of least latency.

    Args:
        max_boards: the most boards in the chain.
        time_limit_s: the search ends then with what it has.
        efforts: rising; the search ends after the last. A given list and no time limit make it deterministic.
    Raises:
        InfeasiblePlanError: proven: no chain can hold the model.
        PlanningError: fewer than one board.
        UndecidedPlanError: neither a chain nor that proof was found.
    """
    if max_boards is not None and max_boards < 1:
        raise PlanningError(f"at most {max_boards} boards may be used, expected 1 or more.")
    deadline_s = clock() + _SEARCH_SHARE * time_limit_s
    return _ClusterSearch(problem, max_boards, lambda: clock() > deadline_s).run(efforts)


class _ClusterSearch:
    """The limits still open: below `_low` all are proven too tight; `_high` is what the best chain costs."""

    def __init__(self, problem: ChainProblem, max_boards: int | None, has_expired: Callable[[], bool]) -> None:
        self._problem, self._has_expired = problem, has_expired
        self._costs = ClusterCosts(problem)
        self._decider = Decider(problem, min(max_boards or problem.n_boards, problem.n_boards), has_expired)
        self._low, self._high = 0, len(self._costs.limits_s)
        self._chain: Chain | None = None

    def run(self, efforts: Sequence[Effort]) -> ClusterPlan:
        """The plan after these efforts, fewer if time runs out or the two sides meet."""
        for effort in efforts:
            first_undecided = self._bisect(effort, self._high, undecided_is_feasible=False)
            self._bisect(effort, first_undecided, undecided_is_feasible=True)
        return self._plan()

    def _bisect(self, effort: Effort, high: int, *, undecided_is_feasible: bool) -> int:
        """Decides limits below `high`; the first limit that this leaves undecided, or `_high`."""
        low = self._low
        undecided: list[int] = []
        while not self._is_close(low, high, effort.precision) and len(undecided) < _MOST_UNDECIDED:
            if self._has_expired():
                break
            middle = (low + high) // 2
            self._decide(middle, effort)
            if self._high <= middle:
                high = self._high
            elif self._low > middle:
                low = self._low
            else:
                undecided.append(middle)
                low, high = (low, middle) if undecided_is_feasible else (middle + 1, high)
        return min([*undecided, self._high])

    def _is_close(self, low: int, high: int, precision: float) -> bool:
        limits_s = self._costs.limits_s
        return low >= high or (high < len(limits_s) and bool(limits_s[high] <= limits_s[low] * (1 + precision)))

    def _decide(self, index: int, effort: Effort) -> None:
        """Looks for a chain within a limit, or a proof that there is none, and notes what it finds."""
        found = self._decider.decide(self._costs.steps_within(float(self._costs.limits_s[index])), effort)
        if found.chain is not None:
            self._chain = found.chain
            cost_s = judge_chain(self._problem, found.chain).bottleneck_s
            self._high = int(np.searchsorted(self._costs.limits_s, cost_s))
        elif found.is_proof:
            self._low = index + 1

    def _plan(self) -> ClusterPlan:
        if self._chain is None:
            if self._low == self._high:
                raise InfeasiblePlanError(
                    "no chain of these boards can hold the model: every cut leaves a stage too big for its board."
                )
            raise UndecidedPlanError(
                "no chain was found, and no proof that there is none; allow more time, or give the boards more memory."
            )
        chain = shorten_chain(self._problem, self._chain, judge_chain(self._problem, self._chain).bottleneck_s)
        return ClusterPlan(chain, judge_chain(self._problem, chain), float(self._costs.limits_s[self._low]))

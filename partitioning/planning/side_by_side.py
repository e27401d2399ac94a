"""Several chains side by side: which groups of boards give the most answers per second together."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from partitioning.planning.chain_search import ChainSearch
from partitioning.planning.judge import Chain, Objective, judge_chain
from partitioning.planning.problem import FloatArray, InfeasiblePlanError, PlanningError

Array = np.ndarray[Any, Any]

# Sums of the same rates in another order differ by some 1e-16 of them; what differs by less than this is equal.
_EQUAL = 1e-9
# Keeps rates finite where a problem has steps that take no time.
_SHORTEST_S = 1e-12


@dataclass
class SideBySide:
    """Chains over disjoint boards whose rates (1 / slowest step) add up to the most, for every number of chains.

        R[u, n] = max over w <= u of 1 / T(w) + R[u - w, n - 1];   R[u, 0] = 0

    T(w) is the slowest step of the best chain of selection w, which the search has for all w; exact, as that is. Boards
    may be left over. The limit case of the whole model on every board is among them.
    The search's max_boards limits the boards of all chains together.
    Raises: PlanningError: the search has another objective than throughput, or pins (which part of which chain?).
    """

    search: ChainSearch
    _found: dict[int, Chain] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        if self.search.objective is not Objective.THROUGHPUT or self.search.pins:
            raise PlanningError("several chains side by side are planned for throughput and without pins only.")

    def rates_per_s(self, most_boards: int | None = None) -> dict[int, float]:
        """Number of chains -> the most answers per second that so many can give, of these at most; feasible ones only."""
        best, _ = self._table
        rates = best[self._allowed(most_boards)].max(axis=0)
        return {n: float(rates[n]) for n in range(1, len(rates)) if rates[n] > 0}

    def chains(self, n_chains: int | None = None, most_boards: int | None = None) -> list[Chain]:
        """The best chains, of this number or of the best number.

        Among numbers that give equal rates the one whose slowest chain answers first counts, then the fewest bytes moved per
        answer, then fewer chains; of one number, fewer boards.

        Raises: InfeasiblePlanError: these boards cannot hold the model so many times.
        """
        rates = self.rates_per_s(most_boards)
        if n_chains is None:
            greatest = max(rates.values(), default=0.0)
            equal = [n for n in rates if rates[n] >= greatest * (1 - _EQUAL)]
            n_chains = equal[0] if len(equal) == 1 else min(equal, key=lambda n: self._tie(n, most_boards), default=1)
        if n_chains not in rates:
            raise InfeasiblePlanError(
                f"these boards cannot hold the model {n_chains} times side by side; {max(rates, default=0)} times is the most."
            )
        if n_chains == 1:
            return [self.search.best(most_boards=most_boards)]  # which decides between equals by latency and bytes
        best, chosen = self._table
        allowed = self._allowed(most_boards)
        left = int(allowed[np.argmax(best[allowed, n_chains] >= rates[n_chains] * (1 - _EQUAL))])
        groups = []
        for n_left in range(n_chains, 0, -1):
            groups.append(int(chosen[left, n_left]))
            left -= groups[-1]
        return self._on_distinct_boards(groups)

    def _tie(self, n_chains: int, most_boards: int | None) -> tuple[float, float, int]:
        """What decides between numbers of chains that give equal rates; what differs by rounding alone is equal."""
        costs = [judge_chain(self.search.problem, chain) for chain in self.chains(n_chains, most_boards)]
        rates = [1 / max(cost.bottleneck_s, _SHORTEST_S) for cost in costs]
        moved_bytes = sum(rate * cost.moved_bytes for rate, cost in zip(rates, costs)) / sum(rates)
        return _rounded(max(cost.latency_s for cost in costs)), _rounded(moved_bytes), n_chains

    @cached_property
    def _table(self) -> tuple[FloatArray, Array]:
        """R and the group w that gives it, both (n_selections, n_boards + 1)."""
        search = self.search
        group_rates = 1.0 / np.maximum(search.bottleneck_s, _SHORTEST_S)  # 0 where there is no chain
        best = np.full((len(group_rates), search.problem.n_boards + 1), -np.inf)
        best[:, 0] = 0.0
        chosen = np.zeros(best.shape, np.int64)
        columns = np.arange(best.shape[1] - 1)
        # A group is smaller than its whole as a mixed-radix number too, so every R[u - w] is there when it is needed.
        for whole in range(1, len(best)):
            groups = search.selections_within(whole)
            groups = groups[group_rates[groups] > 0]
            if len(groups):
                offered = group_rates[groups, None] + best[whole - groups, :-1]
                at = offered.argmax(axis=0)
                best[whole, 1:], chosen[whole, 1:] = offered[at, columns], groups[at]
        return best, chosen

    def _allowed(self, most_boards: int | None) -> Array:
        """Selections of no more boards than allowed, small ones first."""
        limits = [n for n in (most_boards, self.search.max_boards) if n is not None]
        n_used = self.search.n_parts
        small_first = np.argsort(n_used, kind="stable")
        allowed: Array = small_first[n_used[small_first] <= min(limits, default=n_used.max())]
        return allowed

    def _on_distinct_boards(self, groups: list[int]) -> list[Chain]:
        """The best chain of each group, its boards exchanged for members of the same type that are still free."""
        free = [list(members) for members in self.search.types]
        kind_of = {board: kind for kind, members in enumerate(self.search.types) for board in members}
        chains = []
        for group in groups:
            if group not in self._found:
                self._found[group] = self.search.best(group)
            chain = self._found[group]
            boards = tuple(free[kind_of[board]].pop(0) for board in chain.boards)
            chains.append(Chain(boards, chain.positions))
        return chains


def _rounded(value: float) -> float:
    """Nine digits of a number."""
    return float(f"{value:.8e}")


def choose_side_by_side(search: ChainSearch, n_chains: int | None = None) -> list[Chain]:
    """The best chains side by side: of this number, or of the number that gives the greatest rate.

    Raises: InfeasiblePlanError: not even one chain can hold the model, or not so many.
    """
    return SideBySide(search).chains(n_chains)


def choose_for_each_number(search: ChainSearch) -> dict[int, list[Chain]]:
    """Number of chains -> the best of so many, for every number that is feasible."""
    side_by_side = SideBySide(search)
    return {n_chains: side_by_side.chains(n_chains) for n_chains in side_by_side.rates_per_s()}

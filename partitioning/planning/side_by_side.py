"""Several chains side by side: which groups of boards give the most answers per second together."""

from __future__ import annotations

import numpy as np

from partitioning.planning.chain_search import ChainSearch
from partitioning.planning.judge import Chain
from partitioning.planning.problem import InfeasiblePlanError

# One chain fewer, as the second key of a complex number: numpy compares the real part first.
_ONE_CHAIN = -1j


def choose_side_by_side(search: ChainSearch) -> list[Chain]:
    """Chains over disjoint boards whose rates (1 / slowest step) add up to the most; fewer chains among equals.

        R[u] = max over w <= u of 1 / T(w) + R[u - w]

    T(w) is the slowest step of the best chain of selection w, which the search has for all w; exact, as that is.
    The limit case of the whole model on every board is among them.
    Raises: InfeasiblePlanError: not even one chain can hold the model.
    """
    useful = np.flatnonzero(np.isfinite(search.bottleneck_s))
    if len(useful) == 0:
        raise InfeasiblePlanError("no chain of these boards can hold the model.")
    rates = 1.0 / search.bottleneck_s[useful] + _ONE_CHAIN
    selections = search.selections
    best = np.zeros(len(selections), complex)
    chosen = np.zeros(len(selections), np.int64)  # 0, the selection of no boards: nothing fits
    # A group is smaller than its whole as a mixed-radix number too, so every R[u - w] is there when it is needed.
    for whole in range(1, len(selections)):
        fits = np.flatnonzero((selections[useful] <= selections[whole]).all(axis=1))
        if len(fits):
            offered = rates[fits] + best[whole - useful[fits]]  # digit by digit no group exceeds: nothing is borrowed
            at = int(np.argmax(offered))
            best[whole], chosen[whole] = offered[at], useful[fits[at]]
    groups, left = [], len(selections) - 1
    while chosen[left]:
        groups.append(int(chosen[left]))
        left -= groups[-1]
    return _on_distinct_boards(search, groups)


def _on_distinct_boards(search: ChainSearch, groups: list[int]) -> list[Chain]:
    """The best chain of each group, its boards exchanged for members of the same type that are still free."""
    free = [list(members) for members in search.types]
    kind_of = {board: kind for kind, members in enumerate(search.types) for board in members}
    chains = []
    for group in groups:
        chain = search.best(group)
        boards = tuple(free[kind_of[board]].pop(0) for board in chain.boards)
        chains.append(Chain(boards, chain.positions))
    return chains

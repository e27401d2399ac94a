"""The balanced split against brute force, and what it says when there is none."""

from __future__ import annotations

import itertools
import random
from collections.abc import Collection, Sequence

import numpy as np
import pytest

from partitioning import InfeasibleSplitError, split_minimax

_INSTANCES = 3000


def _slowest_s(op_s: Sequence[float], cuts: Sequence[int]) -> float:
    edges = [0, *cuts, len(op_s)]
    return max(sum(op_s[a:b]) for a, b in zip(edges[:-1], edges[1:]))


def _best_by_trying_all(op_s: Sequence[float], n_parts: int, forbidden: Collection[int]) -> list[int]:
    """Of the splits with the least slowest stage the one with the earliest last cut, its front split in the same way."""
    if n_parts == 1:
        return []
    legal = [c for c in range(1, len(op_s)) if c not in forbidden]
    splits = list(itertools.combinations(legal, n_parts - 1))
    best_s = min(_slowest_s(op_s, cuts) for cuts in splits)
    last = min(cuts[-1] for cuts in splits if _slowest_s(op_s, cuts) == best_s)
    return [*_best_by_trying_all(op_s[:last], n_parts - 1, forbidden), last]


def test_split_is_the_best_of_all_splits() -> None:
    rng = random.Random(7)
    feasible = 0
    for _ in range(_INSTANCES):
        n_ops, n_parts = rng.randint(1, 9), rng.randint(1, 5)
        # Quarters add up without rounding; few different values and zeroes make ties.
        op_s = [rng.choice([0, 0, 1, 1, 2, rng.randint(0, 40)]) / 4 for _ in range(n_ops)]
        forbidden = {c for c in range(1, n_ops) if rng.random() < 0.25}
        if n_ops - 1 - len(forbidden) < n_parts - 1:
            with pytest.raises(InfeasibleSplitError):
                split_minimax(op_s, n_parts, forbidden)
            continue
        feasible += 1
        cuts = split_minimax(op_s, n_parts, forbidden)
        assert len(cuts) == n_parts - 1
        assert not forbidden.intersection(cuts)
        assert cuts == _best_by_trying_all(op_s, n_parts, forbidden), (op_s, n_parts, forbidden)
    assert feasible > _INSTANCES / 2


def test_split_is_as_good_as_trying_all_when_times_are_measured_ones() -> None:
    rng = np.random.default_rng(8)
    for _ in range(300):
        op_s = rng.exponential(1e-3, rng.integers(2, 9)).tolist()
        n_parts = int(rng.integers(1, len(op_s) + 1))
        best = _best_by_trying_all(op_s, n_parts, ())
        cuts = split_minimax(op_s, n_parts)
        assert _slowest_s(op_s, cuts) == pytest.approx(_slowest_s(op_s, best), rel=1e-12)


def test_split_of_a_long_chain_reaches_a_lower_bound() -> None:
    cuts = split_minimax([1.0] * 400, 8)
    assert cuts == [50, 100, 150, 200, 250, 300, 350]


def test_split_uses_every_legal_cut_when_there_is_no_choice() -> None:
    assert split_minimax([0.0] * 4, 4) == [1, 2, 3]
    assert split_minimax([1, 1, 1, 1], 3, forbidden=[2]) == [1, 3]
    assert split_minimax([3.0], 1) == []


@pytest.mark.parametrize(
    ("n_ops", "n_parts", "forbidden"), [(3, 4, []), (3, 0, []), (3, -1, []), (3, 3, [1]), (3, 2, [1, 2])]
)
def test_split_says_how_many_parts_are_possible_when_it_is_infeasible(
    n_ops: int, n_parts: int, forbidden: list[int]
) -> None:
    most = n_ops - len(forbidden)
    with pytest.raises(InfeasibleSplitError, match=rf"{n_parts} parts were asked for; .* Ask for 1 to {most}\."):
        split_minimax([1.0] * n_ops, n_parts, forbidden)

"""Cuts a list of measured operators into stages whose slowest is as fast as possible."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np

from partitioning.errors import InfeasibleSplitError


def split_minimax(op_s: Sequence[float], n_parts: int, forbidden: Collection[int] = ()) -> list[int]:
    """Cut indices that split a chain of operators into n_parts contiguous stages with the least slowest stage.

        T[1, j] = W(0, j);   T[p, j] = min over legal i < j of max(T[p-1, i], W(i, j))

    W(i, j) is the summed time of operators i..j-1. Among equal optima the earliest last cut wins; what lies before it is
    split in the same way.
    Args:
        op_s: (n_ops,) seconds per operator in execution order, each >= 0.
        n_parts: number of stages, each of at least one operator.
        forbidden: cut indices that cannot be used.
    Returns: n_parts - 1 rising cut indices.
    Raises: InfeasibleSplitError: fewer than n_parts - 1 legal cuts.
    Source: the linear-partition dynamic programme (folklore); O(n_parts * n_ops^2).
    """
    n_ops = len(op_s)
    legal = [c for c in range(1, n_ops) if c not in set(forbidden)]
    if n_parts < 1 or len(legal) < n_parts - 1:
        raise InfeasibleSplitError(
            f"{n_parts} parts were asked for; this model has {n_ops} operators and {len(legal)} legal cuts, "
            f"so at most {len(legal) + 1} parts. Ask for 1 to {len(legal) + 1}."
        )
    ends = np.array([0, *legal, n_ops])
    total_s = np.concatenate([[0.0], np.cumsum(np.asarray(op_s, np.float64))])[ends]  # (n_ends,)
    best_s = total_s.copy()  # T[p, j] over ends j
    best_s[0] = np.inf  # a stage is never empty
    choices = []
    for _ in range(n_parts - 1):
        # candidate[i, j]: the last stage runs from end i to end j
        candidate = np.maximum(best_s[:, None], total_s[None, :] - total_s[:, None])
        candidate[np.tril_indices(len(ends))] = np.inf
        choices.append(candidate.argmin(axis=0))
        best_s = candidate.min(axis=0)
    cuts: list[int] = []
    j = len(ends) - 1
    for choice in reversed(choices):
        j = int(choice[j])
        cuts.append(int(ends[j]))
    return cuts[::-1]

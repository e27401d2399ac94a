"""What no division of operators among boards takes less than, so that a search need not look closer."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from partitioning.strips.costs import BoardTimes, FloatArray, SpanTimes


def least_compute_s(boards: Sequence[BoardTimes]) -> FloatArray:
    """(n_ops,) seconds: boards that exchange and compute in turn take no less than their sum for any run of operators.

    What one board does alone takes as long as on the quickest. Of what they share the board that takes longest counts, and that
    is no less than any average of them, with weights that are the same for all operators:

        w[b] * quickest[b, op] at least,   w[b] in proportion to the board's speed, 1 in sum

    quickest is the time of the whole result at the best rate that was measured of any part of it. Exchanges, halos and what a
    strip costs beside its operators come on top; rows that a stride leaves over, which nobody computes, are not taken off.
    """
    alone_s = np.min([board.whole_s for board in boards], axis=0)
    quickest_s = np.array([_quickest_s(board) for board in boards])  # (n_boards, n_ops)
    speeds = 1 / quickest_s.sum(axis=1)
    shared_s = (speeds[:, None] / speeds.sum() * quickest_s).min(axis=0)
    can_share = np.zeros(len(alone_s), dtype=bool)
    can_share[[op for _, op in boards[0].shared]] = True
    least: FloatArray = np.where(can_share, np.minimum(alone_s, shared_s), alone_s)
    return least


def _quickest_s(board: BoardTimes) -> FloatArray:
    quickest_s = board.whole_s.copy()
    for (_, op), times in board.shared.items():
        quickest_s[op] = min(quickest_s[op], _at_best_rate_s(times))
    return quickest_s


def _at_best_rate_s(times: SpanTimes) -> float:
    """Between two counts that were measured time is linear, so seconds per row are least at one of them."""
    counts = np.maximum(times.counts, 1.0)
    return float(np.min(np.interp(counts, times.counts, times.seconds) / counts) * times.counts[-1])

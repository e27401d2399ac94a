"""What no division of operators among boards takes less than, so that a search need not look closer."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from partitioning.graph import Graph
from partitioning.strips.costs import BoardTimes, FloatArray, SpanTimes
from partitioning.strips.rules import obstacle_of, rule_of
from partitioning.strips.site import Site
from partitioning.strips.spans import SharedAxis, Span


def least_compute_s(graph: Graph, boards: Sequence[BoardTimes]) -> FloatArray:
    """(n_ops,) seconds: boards that exchange and compute in turn take no less than their sum for any run of operators.

    What one board does alone takes as long as on the quickest. Of what they share the board that takes longest counts, and that
    is no less than any average of them, with weights that are the same for all operators:

        w[b] * quickest[b, op] at least,   w[b] in proportion to the board's speed, 1 in sum

    quickest is the time of all rows that somebody needs, at the best rate that was measured of any part of the result. Exchanges,
    halos and what a strip costs beside its operators come on top.
    """
    alone_s = np.min([board.whole_s for board in boards], axis=0)
    needed = least_needed(graph, len(boards))
    quickest_s = np.array([_quickest_s(board) for board in boards])  # (n_boards, n_ops)
    speeds = 1 / quickest_s.sum(axis=1)
    shared_s = (speeds[:, None] / speeds.sum() * quickest_s).min(axis=0) * needed
    can_share = np.zeros(len(alone_s), dtype=bool)
    can_share[[op for _, op in boards[0].shared]] = True
    least: FloatArray = np.where(can_share, np.minimum(alone_s, shared_s), alone_s)
    return least


def least_needed(graph: Graph, n_boards: int) -> FloatArray:
    """(n_ops,) the least share of each result's rows that boards compute together, if they share rows.

    A stride larger than its window leaves rows over: some behind the last that is read, and some between those that two boards
    read. Backwards from the model's end, through all that reads a tensor; what leaves a segment or goes to an operator that
    takes all is computed whole.
    """
    between: dict[int, int] = {}  # by tensor: rows that neither of two neighbours needs
    behind: dict[int, int] = {}  # and those after the last that is needed
    share = np.ones(len(graph.operators))
    for op in reversed(graph.operators):
        site = Site(graph, op, SharedAxis.ROWS)
        if obstacle_of(site):
            for t in op.inputs:
                between[t] = behind[t] = 0
            continue
        gap = min((between.get(t, 0) for t in op.outputs), default=0)
        rest = min((behind.get(t, 0) for t in op.outputs), default=0)
        extent = SharedAxis.ROWS.extent(graph.tensors[op.outputs[0]])
        share[op.op_index] = max(0.0, 1 - ((n_boards - 1) * gap + rest) / extent)
        first, second = Span(0, 1), Span(min(gap + 1, extent - 1), extent)
        reads = [rule_of(site).reads(site, span) for span in (first, second, Span(0, extent - rest))]
        for t in reads[0]:
            height = SharedAxis.ROWS.extent(graph.tensors[t])
            between[t] = min(between.get(t, height), max(0, reads[1][t].start - reads[0][t].stop))
            behind[t] = min(behind.get(t, height), height - reads[2][t].stop)
    return share


def _quickest_s(board: BoardTimes) -> FloatArray:
    quickest_s = board.whole_s.copy()
    for (_, op), times in board.shared.items():
        quickest_s[op] = min(quickest_s[op], _at_best_rate_s(times))
    return quickest_s


def _at_best_rate_s(times: SpanTimes) -> float:
    """Between two counts that were measured time is linear, so seconds per row are least at one of them."""
    counts = np.maximum(times.counts, 1.0)
    return float(np.min(np.interp(counts, times.counts, times.seconds) / counts) * times.counts[-1])

"""Segments in which boards share a model: all of it, in runs of some length, each in the way that its first operator allows."""

from __future__ import annotations

from collections.abc import Sequence

from partitioning import Graph
from partitioning.strips import SharedAxis, SharedSegment, segment_obstacles


def share_all(
    graph: Graph, shares: Sequence[float], longest: int, start_op: int = 0, stop_op: int | None = None
) -> list[SharedSegment]:
    """By rows, else by channels, else on one board after the other."""
    rows, channels = (set(segment_obstacles(graph, axis)) for axis in (SharedAxis.ROWS, SharedAxis.CHANNELS))
    last = len(graph.operators) if stop_op is None else stop_op
    found: list[SharedSegment] = []
    begin = start_op
    while begin < last:
        axis = SharedAxis.ROWS if begin not in rows else SharedAxis.CHANNELS if begin not in channels else None
        ending = rows if axis is SharedAxis.ROWS else channels if axis else set(range(last))
        stop = begin + 1
        while stop < last and stop not in ending and stop - begin < longest:
            stop += 1
        alone = len(found) % len(shares)
        used = tuple(shares) if axis else tuple(float(board == alone) for board in range(len(shares)))
        found.append(SharedSegment(begin, stop, axis, used))
        begin = stop
    return found

"""What boards take for operators and their parts, and what they exchange, from figures that a test chooses."""

from __future__ import annotations

import numpy as np

from partitioning import Graph
from partitioning.strips import SharedAxis
from partitioning.strips.costs import BoardTimes, GroupLinks, SpanTimes

FIXED_S, PER_ELEMENT_S = 1e-6, 1e-8


def board(graph: Graph, speed: float = 1.0, strip_s: float = 1e-5) -> BoardTimes:
    """Operators take a fixed time and one for each element of their result."""
    elements = [graph.tensors[op.outputs[0]].size_bytes for op in graph.operators]
    whole_s = np.array([(FIXED_S + PER_ELEMENT_S * n) / speed for n in elements])
    shared = {}
    for op, seconds in zip(graph.operators, whole_s):
        for axis in SharedAxis:
            extent = axis.extent(graph.tensors[op.outputs[0]])
            points = np.array([0.0, extent]), np.array([FIXED_S / speed, seconds])
            shared[axis, op.op_index] = SpanTimes(*points)
    return BoardTimes(whole_s, shared, strip_s / speed)


def links(n: int, latency_s: float, bytes_per_s: float) -> GroupLinks:
    return GroupLinks(np.full((n, n), latency_s), np.full((n, n), 1 / bytes_per_s))

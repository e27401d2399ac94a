"""Runs strips from their files, each on nothing but what it asks for, and joins what they give."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from partitioning import Graph, list_cuts, plan_partitions
from partitioning.boundaries import partition_between
from partitioning.strips import SharedAxis, Span, extract_strip, plan_strip, segment_obstacles
from partitioning.strips.group import shares_of
from runtime import Runner
from tests.partitioning.composition import RUNTIME, Array, Frame, run_part

Own = Mapping[int, Span]


def all_tensors(graph: Graph, inputs: Frame) -> Frame:
    """Every tensor of the whole model that something could read, by running its operators one by one."""
    frame, found = dict(inputs), dict(inputs)
    legal = [cut.cut_index for cut in list_cuts(graph) if cut.obstacle is None]
    for spec in plan_partitions(graph, legal):
        frame = run_part(graph, spec, frame)
        found |= frame
    return found


class Segment:
    """A run of operators that boards share, with what goes into it and what the whole model gives."""

    def __init__(self, graph: Graph, start: int, stop: int, axis: SharedAxis, known: Frame) -> None:
        self.graph, self.start, self.stop, self.axis, self._known = graph, start, stop, axis, known
        self.leaving = partition_between(graph, start, stop).outputs

    def __repr__(self) -> str:
        return f"{self.axis.value} of operators {self.start} to {self.stop}"

    def expected(self) -> Frame:
        """What leaves it."""
        return {t: self._known[t] for t in self.leaving}

    def part(self, values: Array, span: Span) -> Array:
        """That span of a tensor, in one piece; all of what cannot be shared."""
        axis = self.axis.of(values.ndim)
        return values if axis is None else np.ascontiguousarray(values.take(range(span.start, span.stop), axis))

    def run(self, own: Own) -> Frame:
        """What one board gives: of each tensor that it owns some of, that."""
        strip = plan_strip(self.graph, self.start, self.stop, self.axis, own)
        runner = Runner(RUNTIME, extract_strip(self.graph, strip))
        given = runner.run([self.part(self._known[t], strip.spans[t]) for t in strip.inputs])
        found = {}
        for t, values in zip(strip.outputs, given):
            first = strip.spans[t].start
            found[t] = self.part(values, Span(own[t].start - first, own[t].stop - first))
        return found

    def owned(self, weights: Sequence[float]) -> list[Own]:
        """By board, its share of every tensor that leaves the segment, about in proportion; some boards may get nothing."""
        shares = {t: shares_of(self.axis.extent(self.graph.tensors[t]), weights) for t in self.leaving}
        return [{t: shares[t][board] for t in self.leaving} for board in range(len(weights))]

    def joined(self, weights: Sequence[float]) -> Frame:
        """What leaves the segment, from all boards."""
        parts = [self.run(own) for own in self.owned(weights) if any(span.count for span in own.values())]
        joined = {}
        for t in self.leaving:
            pieces, axis = [part[t] for part in parts if t in part], self.axis.of(self._known[t].ndim)
            joined[t] = pieces[0] if axis is None else np.concatenate(pieces, axis)
        return joined


def segments(graph: Graph, axis: SharedAxis, known: Frame) -> list[Segment]:
    """The longest runs of operators that boards can share."""
    edges = [-1, *sorted(segment_obstacles(graph, axis)), len(graph.operators)]
    return [Segment(graph, a + 1, b, axis, known) for a, b in zip(edges[:-1], edges[1:]) if b - a > 1]

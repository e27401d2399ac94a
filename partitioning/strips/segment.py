"""Strips of a segment: a run of operators whose rows, or channels, several boards share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from partitioning.boundaries import partition_between
from partitioning.errors import PartitioningError
from partitioning.extraction import extract_partition
from partitioning.graph import Graph
from partitioning.strips.rules import obstacle_of, rule_of
from partitioning.strips.site import Site
from partitioning.strips.spans import SharedAxis, Span, hull
from partitioning.strips.writer import StripWriter


class SegmentError(PartitioningError):
    """Boards cannot share an operator, or rows were asked for that are not there."""


@dataclass(frozen=True)
class StripSpec:
    """What one board computes of operators [start_op, stop_op).

    Attributes:
        axis: what boards share; None of what one board does alone, and has all rows of.
        spans: by tensor index, what of each tensor there is on the board while it computes; tensors of which it needs nothing
            are absent.
        inputs, outputs: of the strip's file, in its order; each with its span.
    """

    start_op: int
    stop_op: int
    axis: SharedAxis | None
    spans: Mapping[int, Span]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


def segment_obstacles(graph: Graph, axis: SharedAxis) -> dict[int, str]:
    """Why operators end a segment, by op index; operators that boards can share along the axis are absent."""
    found = {op.op_index: obstacle_of(Site(graph, op, axis)) for op in graph.operators}
    return {index: obstacle for index, obstacle in found.items() if obstacle is not None}


def plan_strip(graph: Graph, start_op: int, stop_op: int, axis: SharedAxis, own: Mapping[int, Span]) -> StripSpec:
    """The strip that gives these rows or channels, backwards from what leaves the segment to what arrives.

    Args:
        own: spans by tensor index, of tensors that the segment computes and that leave it; the others are not made.
    Raises: SegmentError: an operator in it cannot be shared, or the tensors have no such rows or channels.
    """
    spec = partition_between(graph, start_op, stop_op)
    wanted = {t: span for t, span in own.items() if span.count}
    for tensor_index, asked in wanted.items():
        tensor = graph.tensors[tensor_index]
        if tensor_index not in spec.outputs or not Span(0, axis.extent(tensor)).contains(asked):
            raise SegmentError(
                f"{axis.value} {asked.start} to {asked.stop} of {tensor.name} {tensor.usual_shape} are not among those that "
                f"operators {start_op} to {stop_op} give."
            )
    spans = dict(wanted)
    for op in reversed(graph.operators[start_op:stop_op]):
        results = [spans[t] for t in op.outputs if t in spans]
        if not results:
            continue
        site = Site(graph, op, axis)
        obstacle = obstacle_of(site)
        if obstacle is not None:
            raise SegmentError(f"operator {op.op_index} ({op.kind}) ends a segment: {obstacle}.")
        given = hull(results)
        spans.update(dict.fromkeys(op.outputs, given))
        for operand, needed in rule_of(site).reads(site, given).items():
            spans[operand] = hull([needed, spans[operand]] if operand in spans else [needed])
    return StripSpec(
        start_op=start_op,
        stop_op=stop_op,
        axis=axis,
        spans=spans,
        inputs=tuple(t for t in spec.inputs if t in spans),
        outputs=tuple(t for t in spec.outputs if t in wanted),
    )


def plan_alone(graph: Graph, start_op: int, stop_op: int) -> StripSpec:
    """All of these operators on one board, whatever they are."""
    spec = partition_between(graph, start_op, stop_op)
    rows = SharedAxis.ROWS
    spans = {t: Span(0, rows.extent(graph.tensors[t])) for t in (*spec.inputs, *spec.outputs)}
    return StripSpec(start_op, stop_op, None, spans, spec.inputs, spec.outputs)


def extract_strip(graph: Graph, strip: StripSpec) -> bytes:
    """The strip as a TFLite file, whose inputs and outputs are `strip.inputs` and `strip.outputs` with their spans."""
    if strip.axis is None:
        return extract_partition(graph, partition_between(graph, strip.start_op, strip.stop_op))
    writer = StripWriter(graph, strip.axis, strip.spans)
    for op in graph.operators[strip.start_op : strip.stop_op]:
        if any(t in strip.spans for t in op.outputs):
            site = Site(graph, op, strip.axis)
            rule_of(site).write(site, strip.spans[op.outputs[0]], writer)
    what = f"{strip.axis.value} of operators {strip.start_op} to {strip.stop_op}"
    return writer.finish(strip.inputs, strip.outputs, what)

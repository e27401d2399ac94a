"""Strips of a segment: a run of operators whose rows several boards share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from partitioning.boundaries import partition_between
from partitioning.errors import PartitioningError
from partitioning.graph import Graph
from partitioning.strips.rows import Rows, height, hull
from partitioning.strips.rules import ROW_RULES, row_obstacle
from partitioning.strips.site import Site
from partitioning.strips.writer import StripWriter


class SegmentError(PartitioningError):
    """An operator's rows cannot be computed apart from one another, or rows were asked for that are not there."""


@dataclass(frozen=True)
class StripSpec:
    """What one board computes of operators [start_op, stop_op).

    Attributes:
        rows: by tensor index, what of each tensor there is on the board while it computes; tensors of which it needs nothing
            are absent.
        inputs, outputs: of the strip's file, in its order; each with its `rows`.
    """

    start_op: int
    stop_op: int
    rows: Mapping[int, Rows]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


def segment_obstacles(graph: Graph) -> dict[int, str]:
    """Why operators end a segment, by op index; operators whose rows boards can share are absent."""
    found = {op.op_index: row_obstacle(Site(graph, op)) for op in graph.operators}
    return {index: obstacle for index, obstacle in found.items() if obstacle is not None}


def plan_strip(graph: Graph, start_op: int, stop_op: int, own: Mapping[int, Rows]) -> StripSpec:
    """The strip that gives these rows, backwards from what leaves the segment to what arrives.

    Args:
        own: rows by tensor index, of tensors that the segment computes and that leave it; the others are not made.
    Raises: SegmentError: an operator in it has no rule, or the tensors have no such rows.
    """
    spec = partition_between(graph, start_op, stop_op)
    wanted = {t: rows for t, rows in own.items() if rows.count}
    for tensor_index, asked in wanted.items():
        tensor = graph.tensors[tensor_index]
        if tensor_index not in spec.outputs or not Rows(0, height(tensor)).contains(asked):
            raise SegmentError(
                f"rows {asked.start} to {asked.stop} of {tensor.name} {tensor.usual_shape} are not among those that operators "
                f"{start_op} to {stop_op} give."
            )
    rows = dict(wanted)
    for op in reversed(graph.operators[start_op:stop_op]):
        results = [rows[t] for t in op.outputs if t in rows]
        if not results:
            continue
        site = Site(graph, op)
        obstacle = row_obstacle(site)
        if obstacle is not None:
            raise SegmentError(f"operator {op.op_index} ({op.kind}) ends a segment: {obstacle}.")
        given = hull(results)
        rows.update(dict.fromkeys(op.outputs, given))
        for operand, needed in ROW_RULES[op.kind].reads(site, given).items():
            rows[operand] = hull([needed, rows[operand]] if operand in rows else [needed])
    return StripSpec(
        start_op=start_op,
        stop_op=stop_op,
        rows=rows,
        inputs=tuple(t for t in spec.inputs if t in rows),
        outputs=tuple(t for t in spec.outputs if t in wanted),
    )


def extract_strip(graph: Graph, strip: StripSpec) -> bytes:
    """The strip as a TFLite file, whose inputs and outputs are `strip.inputs` and `strip.outputs` with their rows."""
    writer = StripWriter(graph, strip.rows)
    for op in graph.operators[strip.start_op : strip.stop_op]:
        if any(t in strip.rows for t in op.outputs):
            ROW_RULES[op.kind].write(Site(graph, op), strip.rows[op.outputs[0]], writer)
    return writer.finish(strip.inputs, strip.outputs, f"rows of operators {strip.start_op} to {strip.stop_op}")

"""From chosen cuts to partitions: what each part reads, returns, and merely carries along."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from partitioning.cuts import crossing_tensors
from partitioning.graph import Graph


@dataclass(frozen=True)
class PartitionSpec:
    """Operators [start_op, stop_op) and their boundary, as tensor indices of the whole graph.

    `arriving` and `leaving` are what the frame holds before and after this stage. `inputs` (a part of `arriving`) is
    what the partition's file reads, `outputs` what it computes of `leaving`; the rest is carried along.
    """

    start_op: int
    stop_op: int
    arriving: tuple[int, ...]
    leaving: tuple[int, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


def plan_partitions(graph: Graph, cut_indices: Sequence[int]) -> list[PartitionSpec]:
    """The partitions between the cuts, disjoint and covering every operator.

    Args:
        cut_indices: rising positions in 1 .. len(operators) - 1, legal ones (see `cuts.list_cuts`); may be empty.
    """
    edges = [0, *cut_indices, len(graph.operators)]
    return [partition_between(graph, start, stop) for start, stop in zip(edges[:-1], edges[1:])]


def partition_between(graph: Graph, start_op: int, stop_op: int) -> PartitionSpec:
    """The partition of operators [start_op, stop_op), which both must be legal cuts or ends of the model."""
    arriving = crossing_tensors(graph, start_op)
    leaving = crossing_tensors(graph, stop_op)
    operators = graph.operators[start_op:stop_op]
    read = {t for op in operators for t in op.inputs}
    # What leaves and did not arrive is made here: computed, or a constant that the model returns as it is.
    return PartitionSpec(
        start_op=start_op,
        stop_op=stop_op,
        arriving=tuple(arriving),
        leaving=tuple(leaving),
        inputs=tuple(t for t in arriving if t in read),
        outputs=tuple(t for t in leaving if t not in set(arriving)),
    )

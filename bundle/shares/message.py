"""What the boards of a group do, as the contracts describe it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from bundle.partition_message import partition_message, tensor_spec
from partitioning import Graph
from partitioning.boundaries import PartitionSpec
from partitioning.strips import SharedAxis, SharedSegment, Span, StripSpec, plan_group
from partitioning.strips.programs import Action, Compute, Receive, list_programs
from protos.v1.manifest_pb2 import ModelFile, Partition, Passing, Piece, Share, ShareAction, Strip
from protos.v1.tensor_pb2 import TensorSpec


def group_partitions(
    graph: Graph, spec: PartitionSpec, segments: Sequence[SharedSegment], add_strip: Callable[[StripSpec], ModelFile]
) -> list[Partition]:
    """What each board of a group does of a partition, its leader's first, which also has the partition's tensors.

    Args: add_strip: stores a strip as a file.
    """
    group = [
        Partition(start_op=spec.start_op, stop_op=spec.stop_op, share=share)
        for share in _shares(graph, segments, add_strip)
    ]
    described = partition_message(graph, spec, ModelFile())
    described.ClearField("file")
    group[0].MergeFrom(described)
    return group


def _shares(
    graph: Graph, segments: Sequence[SharedSegment], add_strip: Callable[[StripSpec], ModelFile]
) -> list[Share]:
    programs = list_programs(plan_group(graph, segments))
    shares = [_share(graph, member, len(programs), program, add_strip) for member, program in enumerate(programs)]
    for segment in segments:
        shares[0].segments.add(
            stop_op=segment.stop_op, by=segment.axis.value if segment.axis else "", shares=segment.shares
        )
    return shares


def _share(
    graph: Graph, member: int, n_members: int, program: Sequence[Action], add_strip: Callable[[StripSpec], ModelFile]
) -> Share:
    places: dict[int, int] = {}

    def piece(t: int, axis: SharedAxis, span: Span) -> Piece:
        place = places.setdefault(t, len(places))
        dimension = axis.of(len(graph.tensors[t].usual_shape))
        if dimension is None or span == Span(0, axis.extent(graph.tensors[t])):
            return Piece(tensor=place)
        return Piece(tensor=place, dimension=dimension, start=span.start, stop=span.stop)

    def action(todo: Action) -> ShareAction:
        if isinstance(todo, Compute):
            strip, axis = todo.strip, todo.strip.axis or SharedAxis.ROWS
            inputs, outputs = ([piece(t, axis, strip.spans[t]) for t in ts] for ts in (strip.inputs, strip.outputs))
            return ShareAction(compute=Strip(file=add_strip(strip), inputs=inputs, outputs=outputs))
        pieces = [piece(part.tensor_index, part.axis, part.span) for part in todo.pieces]
        passed = Passing(pieces=pieces, peer=todo.peer, transfer=todo.transfer)
        return ShareAction(receive=passed) if isinstance(todo, Receive) else ShareAction(send=passed)

    actions = [action(todo) for todo in program]
    return Share(member=member, members=n_members, tensors=list(_whole(graph, places)), actions=actions)


def _whole(graph: Graph, tensors: Iterable[int]) -> Iterator[TensorSpec]:
    """A strip's size is fixed: what the graph leaves open has the size that it was planned for."""
    for t in tensors:
        spec = tensor_spec(graph, t)
        spec.shape[:] = graph.tensors[t].usual_shape
        yield spec

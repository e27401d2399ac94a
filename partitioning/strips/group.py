"""A group of boards that share segments one after the other: who computes what, who owns it, and what goes from whom to whom.

Every element of a tensor has one owner, the board that computed it. What a board needs of a tensor and does not hold is sent by its
owners. The first spread of an image, halos, the gathering for an operator that takes all, and changes of the boards in use
are all this one thing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from partitioning.boundaries import partition_between
from partitioning.cuts import crossing_tensors
from partitioning.graph import Graph
from partitioning.strips.segment import SegmentError, StripSpec, plan_alone, plan_strip
from partitioning.strips.spans import SharedAxis, Span


@dataclass(frozen=True)
class SharedSegment:
    """Operators [start_op, stop_op) and each board's share of them, in proportion; 0: the board does nothing here.

    `axis` is None for operators that cannot be shared: then one board alone has a share. `gathered`: what leaves the segment goes
    to the first board, from which the others then take it; so do leaders that gather and scatter.
    """

    start_op: int
    stop_op: int
    axis: SharedAxis | None
    shares: tuple[float, ...]
    gathered: bool = False

    @property
    def only_board(self) -> int:
        """Who runs what is not shared."""
        return max(range(len(self.shares)), key=self.shares.__getitem__)


@dataclass(frozen=True)
class Piece:
    """Part of a tensor: a span along an axis."""

    tensor_index: int
    axis: SharedAxis
    span: Span


@dataclass(frozen=True)
class Transfer:
    """A piece that its owner sends to a board which needs it."""

    source: int
    target: int
    piece: Piece


@dataclass(frozen=True)
class Step:
    """What the boards do with one segment: first these transfers, then each its strip; None: it has none.

    Where all have none, the boards only bring together what they have.
    """

    transfers: tuple[Transfer, ...]
    strips: tuple[StripSpec | None, ...]


@dataclass(frozen=True)
class GroupPlan:
    """Steps in their order, then the transfers that bring to the first board what leaves the group."""

    steps: tuple[Step, ...]
    gathering: tuple[Transfer, ...]

    @property
    def transfers(self) -> Iterator[Transfer]:
        """All of them, in order."""
        for step in self.steps:
            yield from step.transfers
        yield from self.gathering


def piece_bytes(graph: Graph, piece: Piece) -> int:
    """Size of a piece."""
    tensor = graph.tensors[piece.tensor_index]
    return tensor.size_bytes * piece.span.count // piece.axis.extent(tensor)


def plan_group(graph: Graph, segments: Sequence[SharedSegment]) -> GroupPlan:
    """Who does and sends what. The first board takes what arrives and gives what leaves.

    Args:
        segments: without a gap; all for the same number of boards, one at least.
    Raises: SegmentError: an operator cannot be shared as asked.
    """
    _check(segments)
    start, stop = segments[0].start_op, segments[-1].stop_op
    holdings = _Holdings(graph, len(segments[0].shares))
    for tensor_index in crossing_tensors(graph, start):
        holdings.own(0, Piece(tensor_index, SharedAxis.ROWS, _whole(graph, tensor_index, SharedAxis.ROWS)))
    steps = []
    for segment in segments:
        strips = tuple(_strip(graph, segment, board) for board in range(len(segment.shares)))
        transfers = [
            transfer
            for board, strip in enumerate(strips)
            if strip is not None
            for tensor_index in strip.inputs
            for transfer in holdings.bring(board, tensor_index, strip.axis, strip.spans[tensor_index])
        ]
        steps.append(Step(tuple(transfers), strips))
        for board, strip in enumerate(strips):
            for tensor_index, span in _own(graph, segment, board).items() if strip is not None else ():
                holdings.own(board, Piece(tensor_index, segment.axis or SharedAxis.ROWS, span))
        if segment.gathered:
            leaving = partition_between(graph, segment.start_op, segment.stop_op).outputs
            gathered = [transfer for t in leaving for transfer in holdings.gather(t)]
            steps.append(Step(tuple(gathered), (None,) * len(segment.shares)))
    gathering = [transfer for t in crossing_tensors(graph, stop) for transfer in holdings.bring(0, t, None)]
    return GroupPlan(tuple(steps), tuple(gathering))


def shares_of(extent: int, shares: Sequence[float]) -> list[Span]:
    """Consecutive spans in proportion, rounded; tensors of one height are divided alike, so that shortcuts stay where they are."""
    edges = np.rint(np.cumsum([0.0, *shares]) / sum(shares) * extent).astype(int)
    return [Span(int(a), int(b)) for a, b in zip(edges[:-1], edges[1:])]


def _own(graph: Graph, segment: SharedSegment, board: int) -> Mapping[int, Span]:
    """What a board gives of a segment, by tensor that leaves it; nothing is left out of tensors that it has no part of."""
    leaving = partition_between(graph, segment.start_op, segment.stop_op).outputs
    if segment.axis is None:
        return {t: _whole(graph, t, SharedAxis.ROWS) for t in leaving} if board == segment.only_board else {}
    own = {t: shares_of(segment.axis.extent(graph.tensors[t]), segment.shares)[board] for t in leaving}
    return {t: span for t, span in own.items() if span.count}


def _strip(graph: Graph, segment: SharedSegment, board: int) -> StripSpec | None:
    own = _own(graph, segment, board)
    if not own:
        return None
    if segment.axis is None:
        return plan_alone(graph, segment.start_op, segment.stop_op)
    return plan_strip(graph, segment.start_op, segment.stop_op, segment.axis, own)


def _check(segments: Sequence[SharedSegment]) -> None:
    for before, after in zip(segments[:-1], segments[1:]):
        if before.stop_op != after.start_op:
            raise SegmentError(
                f"segments leave operators {before.stop_op} to {after.start_op} out, or have them twice."
            )
    counts = {len(segment.shares) for segment in segments}
    if len(counts) != 1 or any(min(s.shares) < 0 or sum(s.shares) <= 0 for s in segments):
        raise SegmentError("every segment needs a share for each board, none of them negative and not all of them 0.")
    for segment in segments:
        if segment.axis is None and sum(share > 0 for share in segment.shares) != 1:
            raise SegmentError(
                f"operators {segment.start_op} to {segment.stop_op} are not shared: one board alone must have a share."
            )


class _Holdings:
    """Who owns which part of a tensor, and what else boards have been given of it."""

    def __init__(self, graph: Graph, n_boards: int) -> None:
        self._graph = graph
        self._n_boards = n_boards
        self._owned: dict[int, list[tuple[int, Piece]]] = {}
        self._held: dict[tuple[int, int], list[Span]] = {}

    def own(self, board: int, piece: Piece) -> None:
        self._owned.setdefault(piece.tensor_index, []).append((board, piece))
        self._held.setdefault((board, piece.tensor_index), []).append(piece.span)

    def gather(self, tensor_index: int) -> list[Transfer]:
        """What the owners send so that the first board owns all of a tensor."""
        transfers = self.bring(0, tensor_index, None)
        axis = self._owned[tensor_index][0][1].axis
        self._owned[tensor_index] = [(0, Piece(tensor_index, axis, _whole(self._graph, tensor_index, axis)))]
        return transfers

    def bring(self, board: int, tensor_index: int, axis: SharedAxis | None, span: Span | None = None) -> list[Transfer]:
        """What the owners send so that the board has this span, or all of a tensor; afterwards it has."""
        owned = self._owned[tensor_index]
        owned_along = owned[0][1].axis
        # What is asked for along another axis is spread over all of this one.
        whole = _whole(self._graph, tensor_index, owned_along)
        wanted = span if span is not None and axis is owned_along else whole
        held = self._held.setdefault((board, tensor_index), [])
        transfers = []
        for missing in _without(wanted, held):
            for owner, piece in owned:
                part = Span(max(missing.start, piece.span.start), min(missing.stop, piece.span.stop))
                if part.count and owner != board:
                    transfers.append(Transfer(owner, board, Piece(tensor_index, owned_along, part)))
        held.append(wanted)
        return transfers


def _whole(graph: Graph, tensor_index: int, axis: SharedAxis) -> Span:
    return Span(0, axis.extent(graph.tensors[tensor_index]))


def _without(span: Span, held: Sequence[Span]) -> list[Span]:
    """What of a span is in none of these."""
    left = [span]
    for other in held:
        left = [
            part
            for whole in left
            for part in (
                Span(whole.start, min(whole.stop, other.start)),
                Span(max(whole.start, other.stop), whole.stop),
            )
            if part.count
        ]
    return left

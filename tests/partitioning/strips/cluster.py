"""A group of boards in memory: each knows only what it computed or was sent."""

from __future__ import annotations

import numpy as np

from partitioning import Graph
from partitioning.strips import SharedAxis, Span, StripSpec, extract_strip
from partitioning.strips.group import GroupPlan, Transfer
from runtime import Runner
from tests.partitioning.composition import RUNTIME, Array, Frame

_GARBAGE = 77


class Memory:
    """Parts of tensors; what is not there is garbage, and must not be read."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._values: Frame = {}
        self._is_there: dict[int, np.ndarray] = {}

    def read(self, t: int, axis: SharedAxis, span: Span) -> Array:
        place = self._place(t, axis, span)
        assert self._is_there[t][place].all(), f"{self._graph.tensors[t].name}: not all of {span} was sent"
        return np.ascontiguousarray(self._values[t][place])

    def write(self, t: int, axis: SharedAxis, span: Span, values: Array) -> None:
        tensor = self._graph.tensors[t]
        if t not in self._values:
            self._values[t] = np.full(tensor.usual_shape, _GARBAGE, tensor.dtype)
            self._is_there[t] = np.zeros(tensor.usual_shape, bool)
        place = self._place(t, axis, span)
        self._values[t][place] = values
        self._is_there[t][place] = True

    def _place(self, t: int, axis: SharedAxis, span: Span) -> tuple[slice, ...]:
        rank = len(self._graph.tensors[t].usual_shape)
        return tuple(slice(span.start, span.stop) if a == axis.of(rank) else slice(None) for a in range(rank))


def run_group(graph: Graph, plan: GroupPlan, inputs: Frame) -> Frame:
    """What the first board has in the end."""
    n_boards = len(plan.steps[0].strips)
    boards = [Memory(graph) for _ in range(n_boards)]
    for t, values in inputs.items():
        boards[0].write(t, SharedAxis.ROWS, Span(0, SharedAxis.ROWS.extent(graph.tensors[t])), values)

    def send(transfer: Transfer) -> None:
        piece = transfer.piece
        values = boards[transfer.source].read(piece.tensor_index, piece.axis, piece.span)
        boards[transfer.target].write(piece.tensor_index, piece.axis, piece.span, values)

    for step in plan.steps:
        for transfer in step.transfers:
            send(transfer)
        for board, strip in zip(boards, step.strips):
            if strip is not None:
                _run(graph, strip, board)
    for transfer in plan.gathering:
        send(transfer)
    return {t: boards[0].read(t, SharedAxis.ROWS, _whole(graph, t)) for t in graph.outputs}


def _run(graph: Graph, strip: StripSpec, board: Memory) -> None:
    axis = strip.axis or SharedAxis.ROWS
    runner = Runner(RUNTIME, extract_strip(graph, strip))
    given = runner.run([board.read(t, axis, strip.spans[t]) for t in strip.inputs])
    for t, values in zip(strip.outputs, given):
        board.write(t, axis, strip.spans[t], values)


def _whole(graph: Graph, t: int) -> Span:
    return Span(0, SharedAxis.ROWS.extent(graph.tensors[t]))

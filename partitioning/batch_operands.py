"""Constant operands that count samples: what an operator needs instead when a graph takes several samples at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from partitioning.graph import Array, Graph, Operator
from partitioning.tflite_schema import indices

# Operators with an operand that is a shape, or a count per axis, of what they give: kind -> its position.
_SHAPE_OPERAND = {"RESHAPE": 1, "TRANSPOSE_CONV": 0, "BROADCAST_TO": 1, "SLICE": 2}
# Operators of several tensors that broadcast: shapes are matched from the last axis, missing ones count as 1.
_BROADCASTING = frozenset(
    "ADD SUB MUL DIV FLOOR_DIV FLOOR_MOD POW MAXIMUM MINIMUM SQUARED_DIFFERENCE EQUAL NOT_EQUAL GREATER GREATER_EQUAL LESS "
    "LESS_EQUAL LOGICAL_AND LOGICAL_OR SELECT_V2".split()
)
# Operators that put tensors side by side and do not broadcast.
_JOINING = frozenset({"CONCATENATION", "PACK"})


def batched_operands(graph: Graph, op: Operator, batch: int, is_batched: Callable[[int], bool]) -> dict[int, Array]:
    """Position -> constant, for operands that were written for one sample; empty where the operator needs no change.

    Samples lie one after the other along the first axis, so a shape's first number is multiplied: data stay where they are.
    The result is not always what the author meant (a converter writes a transposition of one sample as RESHAPE), so whoever
    uses it compares answers.
    Args:
        is_batched: whether a tensor holds `batch` samples along its first axis, by tensor index; of the operator's inputs.
    """
    raw = graph.model.subgraphs[0].operators[op.source_index]
    operands = [int(t) for t in indices(raw.inputs)]
    if not any(is_batched(t) for t in operands if t >= 0):
        return {}
    if op.kind in _JOINING:
        return _repeated_constants(graph, raw, operands, batch)
    if op.kind == "STRIDED_SLICE":
        return _longer_end(graph, raw, operands, batch)
    position = _SHAPE_OPERAND.get(op.kind)
    if position is None:
        return {}
    if op.kind == "RESHAPE" and len(operands) == 1:  # old files have the shape among the options only
        return {position: _times(np.array(indices(raw.builtinOptions.newShape), np.int32), batch)}
    shape = graph.constant(operands[position])
    return {} if shape is None else {position: _times(shape, batch)}


def broadcast_operands(
    graph: Graph, op: Operator, batch: int, is_batched: Callable[[int], bool]
) -> dict[int, tuple[int, ...]]:
    """Position -> shape, for computed operands that must be reshaped first, or their samples would meet another axis.

    A converter leaves out the 1s of a single sample's shape: of (1, 8, 8, 12) * (1, 12), four samples need (4, 1, 1, 12).
    """
    if op.kind not in _BROADCASTING:
        return {}
    operands = [int(t) for t in indices(graph.model.subgraphs[0].operators[op.source_index].inputs)]
    rank = len(graph.tensors[op.outputs[0]].usual_shape)
    shapes = {p: graph.tensors[t].usual_shape for p, t in enumerate(operands) if t >= 0 and is_batched(t)}
    return {p: (batch, *[1] * (rank - len(s) - 1), *s) for p, s in shapes.items() if len(s) < rank}


def _times(shape: Array, batch: int) -> Array:
    """A shape whose first number is `batch` times as large; 0 and -1 (the rest) stay."""
    larger = shape.copy()
    if larger.size and larger[0] > 0:
        larger[0] *= batch
    return larger


def _longer_end(graph: Graph, raw: Any, operands: list[int], batch: int) -> dict[int, Array]:
    begin, end = (graph.constant(operands[position]) for position in (1, 2))
    takes_all = raw.builtinOptions is not None and raw.builtinOptions.endMask & 1
    if begin is None or end is None or takes_all or not begin.size or begin[0] != 0:
        return {}
    return {2: _times(end, batch)}


def _repeated_constants(graph: Graph, raw: Any, operands: list[int], batch: int) -> dict[int, Array]:
    """A constant that was joined to one sample, a class token for instance, once for each."""
    if raw.builtinOptions is None or raw.builtinOptions.axis == 0:
        return {}
    constants = {position: graph.constant(t) for position, t in enumerate(operands)}
    return {p: np.repeat(c, batch, axis=0) for p, c in constants.items() if c is not None and c.ndim and len(c) == 1}

"""What a model needs at the least: more than a board has is known before anything is loaded."""

from __future__ import annotations

import math
from collections.abc import Iterable

from runtime.model_check.layout import TYPES
from runtime.model_check.structure import Table

# Bits of an element; strings, resources and variants have no size of their own.
_BITS = {
    **dict.fromkeys(("FLOAT32", "INT32", "UINT32"), 32),
    **dict.fromkeys(("FLOAT16", "INT16", "UINT16", "BFLOAT16"), 16),
    **dict.fromkeys(("INT64", "UINT64", "FLOAT64", "COMPLEX64"), 64),
    **dict.fromkeys(("INT8", "UINT8", "BOOL", "FLOAT8_E4M3FN", "FLOAT8_E5M2"), 8),
    "COMPLEX128": 128,
    "INT4": 4,
    "UINT4": 4,
    "INT2": 2,
}


def arena_bytes(model: Table) -> int:
    """The most that tensors between operators hold at a time, graph by graph: the arena is never smaller.

    Shapes are from outside and may be anything: these are Python's integers, which do not overflow. Open dimensions count as the
    file's own shape says.
    """
    is_constant = [b.count("Data") > 0 or b.number("Offset") > 1 for b in model.tables("Buffers")]
    return sum(_graph_bytes(graph, is_constant) for graph in model.tables("Subgraphs"))


def _graph_bytes(graph: Table, is_constant: list[bool]) -> int:
    sizes = []
    lasting = set(graph.numbers("Inputs")) | set(graph.numbers("Outputs"))
    for index, tensor in enumerate(graph.tables("Tensors")):
        sizes.append(0 if is_constant[tensor.number("Buffer")] else _tensor_bytes(tensor))
        if tensor.number("IsVariable"):
            lasting.add(index)
    first: dict[int, int] = {}
    last: dict[int, int] = {}
    n_operators = 0
    for n_operators, operator in enumerate(graph.tables("Operators"), 1):
        for tensor_index in _named(operator):
            first.setdefault(tensor_index, n_operators)
            last[tensor_index] = n_operators
    for tensor_index in lasting:
        first[tensor_index], last[tensor_index] = 1, n_operators
    changes = [0] * (n_operators + 3)
    for tensor_index, begin in first.items():
        changes[begin] += sizes[tensor_index]
        changes[last[tensor_index] + 1] -= sizes[tensor_index]
    most = held = 0
    for change in changes:
        held += change
        most = max(most, held)
    return most


def _named(operator: Table) -> Iterable[int]:
    return (n for field in ("Inputs", "Outputs", "Intermediates") for n in operator.numbers(field) if n >= 0)


def _tensor_bytes(tensor: Table) -> int:
    bits = _BITS.get(TYPES[tensor.number("Type")], 0)
    return math.prod(max(1, n) if n < 0 else n for n in tensor.numbers("Shape")) * bits // 8

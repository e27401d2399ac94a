"""One operator with all that the rules ask of it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from partitioning.graph import Array, Graph, Operator, Tensor
from partitioning.strips.spans import SharedAxis, Span
from partitioning.tflite_schema import indices


@dataclass(frozen=True)
class Site:
    """An operator of a graph; operands are named by tensor index, as everywhere."""

    graph: Graph
    op: Operator
    axis: SharedAxis = SharedAxis.ROWS

    @cached_property
    def raw(self) -> Any:
        """The schema's `OperatorT`, never changed."""
        return self.graph.model.subgraphs[0].operators[self.op.source_index]

    @property
    def options(self) -> Any:
        """Its builtin options; None if it has none."""
        return self.raw.builtinOptions

    @cached_property
    def operands(self) -> tuple[int, ...]:
        """All inputs in the operator's order, constants too; -1 is an optional one left out."""
        return tuple(int(t) for t in indices(self.raw.inputs))

    @cached_property
    def computed(self) -> frozenset[int]:
        """The operands that come with each frame."""
        return frozenset(self.op.inputs)

    def tensor(self, tensor_index: int) -> Tensor:
        """A tensor of the graph."""
        return self.graph.tensors[tensor_index]

    def extent(self, tensor_index: int) -> int:
        """A tensor's rows, or channels, in the whole model."""
        return self.axis.extent(self.graph.tensors[tensor_index])

    def whole(self, tensor_index: int) -> Span:
        """All of them."""
        return Span(0, self.extent(tensor_index))

    @property
    def result(self) -> Tensor:
        """The first output."""
        return self.graph.tensors[self.op.outputs[0]]

    def constant(self, position: int) -> Array | None:
        """The values of an operand that the file holds; None if it is computed, left out, or made by another operator."""
        return self.constant_of(self.operands[position]) if position < len(self.operands) else None

    def constant_of(self, operand: int) -> Array | None:
        """As `constant`, by tensor index; -1 is left out."""
        return None if operand < 0 else self.graph.constant(operand)

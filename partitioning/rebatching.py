"""Writes a graph again for several samples at once: other shapes, other constant operands, the same weights and scales."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from partitioning.graph import Array, Graph
from partitioning.model_copy import ModelCopy
from partitioning.tflite_schema import indices, schema, text, write_model

Shape = Sequence[int]


class BatchedCopy(ModelCopy):
    """A copy of a graph's file whose shapes and operands are changed one by one; what is known of the graph holds for the copy."""

    def __init__(self, graph: Graph) -> None:
        super().__init__(graph)
        self._graph = graph
        self._reshapes: dict[int, list[Any]] = {}  # index of an operator -> those that come before it

    def set_shape(self, tensor_index: int, shape: Shape) -> None:
        """Gives a tensor its shape. Sizes that the file left open stay open, but for the first, which is the batch's now."""
        raw = self.main.tensors[tensor_index]
        raw.shape = np.array(shape, np.int32)
        signature = [int(n) for n in indices(raw.shapeSignature)]
        if signature:
            signature[0] = int(shape[0])
            raw.shapeSignature = np.array(signature, np.int32) if -1 in signature else None

    def set_operands(self, source_index: int, operands: Mapping[int, Array]) -> None:
        """Gives an operator constants of its own, by position; other readers of the old ones keep them."""
        raw = self.main.operators[source_index]
        inputs = [int(t) for t in indices(raw.inputs)]
        for position, values in operands.items():
            old = inputs[position] if position < len(inputs) else None
            inputs[position : position + 1] = [self.add_constant(values, old)]
        raw.inputs = np.array(inputs, np.int32)
        if hasattr(raw.builtinOptions, "newShape"):  # of RESHAPE, which may say its shape twice
            raw.builtinOptions = copy.copy(raw.builtinOptions)
            raw.builtinOptions.newShape = operands.get(1, raw.builtinOptions.newShape)

    def reshape_operand(self, source_index: int, position: int, shape: Shape) -> int:
        """Has a RESHAPE of its own give an operator its operand; the new tensor's index."""
        raw = self.main.operators[source_index]
        inputs = [int(t) for t in indices(raw.inputs)]
        result = self.add_tensor(inputs[position], np.array(shape))
        reshaped = self.main.tensors[result]
        reshaped.name = f"{text(reshaped.name)}/batched".encode()
        new_shape = self.add_constant(np.array(shape, np.int32))
        before = schema.OperatorT(
            opcodeIndex=self.operator_code("RESHAPE"), inputs=[inputs[position], new_shape], outputs=[result]
        )
        self._reshapes.setdefault(source_index, []).append(before)
        inputs[position] = result
        raw.inputs = np.array(inputs, np.int32)
        return result

    def graph(self) -> Graph:
        """The same graph over the changed file, with the shapes of the original: for cutting out single operators."""
        return Graph(
            model=self.model,
            tensors=self._graph.tensors,
            operators=self._graph.operators,
            inputs=self._graph.inputs,
            outputs=self._graph.outputs,
            constant_producers=self._graph.constant_producers,
        )

    def to_bytes(self) -> bytes:
        """The copy as a TFLite file."""
        whole = copy.copy(self.model)
        whole.subgraphs = [copy.copy(self.main), *self.model.subgraphs[1:]]
        whole.subgraphs[0].operators = [
            raw for i, own in enumerate(self.main.operators) for raw in (*self._reshapes.get(i, ()), own)
        ]
        return write_model(whole)

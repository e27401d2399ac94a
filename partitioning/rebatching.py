"""Writes a graph again for several samples at once: other shapes, other constant operands, the same weights and scales."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from partitioning.graph import Graph
from partitioning.tflite_schema import AlignedBufferT, indices, schema, text, write_model

Array = np.ndarray[Any, Any]
Shape = Sequence[int]


class BatchedCopy:
    """A copy of a graph's file whose shapes and operands are changed one by one; the graph itself stays as it is.

    Operators and tensors keep their indices until it is written: what is known of the graph holds for the copy.
    """

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        source = graph.model
        self.model = copy.copy(source)
        self.model.subgraphs = [copy.copy(source.subgraphs[0]), *source.subgraphs[1:]]
        self._main = self.model.subgraphs[0]
        self._main.tensors = [copy.copy(raw) for raw in self._main.tensors]
        self._main.operators = [copy.copy(raw) for raw in self._main.operators]
        self.model.buffers = [AlignedBufferT(buffer.data) for buffer in source.buffers]
        self._reshapes: dict[int, list[Any]] = {}  # index of an operator -> those that come before it

    def set_shape(self, tensor_index: int, shape: Shape) -> None:
        """Gives a tensor its shape. Sizes that the file left open stay open, but for the first, which is the batch's now."""
        raw = self._main.tensors[tensor_index]
        raw.shape = np.array(shape, np.int32)
        signature = [int(n) for n in indices(raw.shapeSignature)]
        if signature:
            signature[0] = int(shape[0])
            raw.shapeSignature = np.array(signature, np.int32) if -1 in signature else None

    def set_operands(self, source_index: int, operands: Mapping[int, Array]) -> None:
        """Gives an operator constants of its own, by position; other readers of the old ones keep them."""
        raw = self._main.operators[source_index]
        inputs = [int(t) for t in indices(raw.inputs)]
        for position, values in operands.items():
            old = inputs[position] if position < len(inputs) else None
            inputs[position : position + 1] = [self._add_constant(old, values)]
        raw.inputs = np.array(inputs, np.int32)
        if hasattr(raw.builtinOptions, "newShape"):  # of RESHAPE, which may say its shape twice
            raw.builtinOptions = copy.copy(raw.builtinOptions)
            raw.builtinOptions.newShape = operands.get(1, raw.builtinOptions.newShape)

    def reshape_operand(self, source_index: int, position: int, shape: Shape) -> int:
        """Has a RESHAPE of its own give an operator its operand; the new tensor's index."""
        raw = self._main.operators[source_index]
        inputs = [int(t) for t in indices(raw.inputs)]
        reshaped = copy.copy(self._main.tensors[inputs[position]])
        reshaped.shape, reshaped.shapeSignature = np.array(shape, np.int32), None
        reshaped.name = f"{text(reshaped.name)}/batched".encode()
        reshaped.buffer = self._add_buffer(None)
        new_shape = self._add_constant(None, np.array(shape, np.int32))
        self._main.tensors.append(reshaped)
        result = len(self._main.tensors) - 1
        before = schema.OperatorT(
            opcodeIndex=self._reshape_code(), inputs=[inputs[position], new_shape], outputs=[result]
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
        whole.subgraphs = [copy.copy(self._main), *self.model.subgraphs[1:]]
        whole.subgraphs[0].operators = [
            raw for i, own in enumerate(self._main.operators) for raw in (*self._reshapes.get(i, ()), own)
        ]
        return write_model(whole)

    def _add_constant(self, old: int | None, values: Array) -> int:
        template = None if old is None else self._main.tensors[old]
        raw = copy.copy(template) if template is not None else _shape_tensor()
        raw.shape = np.array(values.shape, np.int32)
        raw.shapeSignature = None
        raw.buffer = self._add_buffer(np.ascontiguousarray(values).reshape(-1).view(np.uint8))
        self._main.tensors.append(raw)
        return len(self._main.tensors) - 1

    def _add_buffer(self, data: Any) -> int:
        self.model.buffers.append(AlignedBufferT(data))
        return len(self.model.buffers) - 1

    def _reshape_code(self) -> int:
        kind = schema.BuiltinOperator.RESHAPE
        codes = self.model.operatorCodes
        for index, code in enumerate(codes):
            if max(code.builtinCode, code.deprecatedBuiltinCode) == kind:
                return index
        self.model.operatorCodes = [
            *codes,
            schema.OperatorCodeT(builtinCode=kind, deprecatedBuiltinCode=kind, version=1),
        ]
        return len(codes)


def _shape_tensor() -> Any:
    return schema.TensorT(type=schema.TensorType.INT32, name=b"new_shape", hasRank=True)

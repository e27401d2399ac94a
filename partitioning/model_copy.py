"""A copy of a graph's file to be changed: other shapes, further tensors and constants; the graph itself stays as it is."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np

from partitioning.graph import Array, Graph
from partitioning.tflite_schema import OPERATOR_KINDS, AlignedBufferT, schema

_KIND_NUMBERS = {name: number for number, name in OPERATOR_KINDS.items()}


class ModelCopy:
    """Operators and tensors of the main graph keep their indices; what is added comes after them.

    Attributes:
        model: the schema's `ModelT`; main: its main graph. Lists, tensors and operators are the copy's own, what they refer to
            is the graph's: change a copy of that.
    """

    def __init__(self, graph: Graph) -> None:
        source = graph.model
        self.model = copy.copy(source)
        self.model.subgraphs = [copy.copy(source.subgraphs[0]), *source.subgraphs[1:]]
        self.main = self.model.subgraphs[0]
        self.main.tensors = [copy.copy(raw) for raw in self.main.tensors]
        self.main.operators = [copy.copy(raw) for raw in self.main.operators]
        self.model.buffers = [AlignedBufferT(buffer.data) for buffer in source.buffers]
        self.model.operatorCodes = [*source.operatorCodes]

    def add_tensor(self, like: int, shape: Array) -> int:
        """A computed tensor of another one's type and scale; its index."""
        raw = copy.copy(self.main.tensors[like])
        raw.shape, raw.shapeSignature = np.array(shape, np.int32), None
        raw.buffer = self._add_buffer(None)
        return self._add(raw)

    def add_constant(self, values: Array, like: int | None = None) -> int:
        """A constant, of another one's type and scale; without one int32, as operands are that say a shape. Its index."""
        raw = schema.TensorT(type=schema.TensorType.INT32, name=b"operand", hasRank=True)
        if like is not None:
            raw = copy.copy(self.main.tensors[like])
        raw.shape, raw.shapeSignature = np.array(values.shape, np.int32), None
        raw.buffer = self._add_buffer(np.ascontiguousarray(values).reshape(-1).view(np.uint8))
        return self._add(raw)

    def operator_code(self, kind: str, version: int = 1) -> int:
        """Index of a code for operators of a kind, in this version or a newer one."""
        number = _KIND_NUMBERS[kind]
        for index, code in enumerate(self.model.operatorCodes):
            if max(code.builtinCode, code.deprecatedBuiltinCode) == number and code.version >= version:
                return index
        code = schema.OperatorCodeT(builtinCode=number, deprecatedBuiltinCode=min(number, 127), version=version)
        self.model.operatorCodes.append(code)
        return len(self.model.operatorCodes) - 1

    def _add(self, raw: Any) -> int:
        self.main.tensors.append(raw)
        return len(self.main.tensors) - 1

    def _add_buffer(self, data: Any) -> int:
        self.model.buffers.append(AlignedBufferT(data))
        return len(self.model.buffers) - 1

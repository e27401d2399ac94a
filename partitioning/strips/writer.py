"""Writes the operators of a strip: the whole model's, for fewer rows, with what they need to have them exactly."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from partitioning.extraction import constant_operators, pack_operators
from partitioning.graph import Graph
from partitioning.strips.rows import ROW_AXIS, Rows
from partitioning.strips.site import Site
from partitioning.tflite_schema import OPERATOR_KINDS, AlignedBufferT, schema

Array = np.ndarray[Any, Any]
_KIND_NUMBERS = {name: number for number, name in OPERATOR_KINDS.items()}
# From this version on the kernels take integers; a reader that is older refuses the file by name.
_INTEGER_VERSION = 2


class StripWriter:
    """Operators and tensors of one strip. Tensors of the graph keep their indices; what is added comes after them."""

    def __init__(self, graph: Graph, rows: Mapping[int, Rows]) -> None:
        """Args: rows: of each tensor that arrives or is computed, by index: what of it there is in this strip."""
        self._graph = graph
        self.rows = rows
        self._model = copy.copy(graph.model)
        self._model.buffers = [*graph.model.buffers]
        self._model.operatorCodes = [*graph.model.operatorCodes]
        main = copy.copy(graph.model.subgraphs[0])
        main.tensors = [copy.copy(raw) for raw in main.tensors]
        for tensor_index, there in rows.items():
            self._set_rows(main.tensors[tensor_index], there)
        self._model.subgraphs = [main, *graph.model.subgraphs[1:]]
        self._tensors = main.tensors
        self._operators: list[Any] = []
        self._sliced: dict[tuple[int, Rows], int] = {}

    def take(self, tensor_index: int, rows: Rows) -> int:
        """A tensor of the graph with these rows and no others, which must be there."""
        there = self.rows[tensor_index]
        if there == rows:
            return tensor_index
        key = (tensor_index, rows)
        if key not in self._sliced:
            narrower = self.scratch(tensor_index, rows)
            self.crop(tensor_index, {ROW_AXIS: rows.start - there.start}, narrower)
            self._sliced[key] = narrower
        return self._sliced[key]

    def scratch(self, like: int, rows: Rows) -> int:
        """A new tensor of another one's type, scale and shape, but for so many rows."""
        raw = copy.copy(self._tensors[like])
        self._set_rows(raw, rows)
        raw.name = None
        raw.buffer = self._buffer(None)
        return self._add(raw)

    def constant(self, values: Array, like: int | None = None) -> int:
        """A new constant, with another one's type and scale."""
        raw = copy.copy(self._tensors[like]) if like is not None else schema.TensorT(type=schema.TensorType.INT32)
        raw.shape = np.array(values.shape, np.int32)
        raw.shapeSignature = None
        raw.name = None
        raw.buffer = self._buffer(np.ascontiguousarray(values).reshape(-1).view(np.uint8))
        return self._add(raw)

    def pad(self, tensor_index: int, paddings: Sequence[tuple[int, int]]) -> int:
        """A tensor with so many elements of value 0 before and after it on each axis; itself, if there are none."""
        if not any(before or after for before, after in paddings):
            return tensor_index
        raw = copy.copy(self._tensors[tensor_index])
        raw.shape = np.array([n + sum(pair) for n, pair in zip(raw.shape, paddings)], np.int32)
        raw.name = None
        raw.buffer = self._buffer(None)
        padded = self._add(raw)
        operands = [tensor_index, self.constant(np.array(paddings, np.int32))]
        self._emit(self._code("PAD", raw.type), operands, [padded], schema.PadOptionsT())
        return padded

    def crop(self, source: int, starts: Mapping[int, int], target: int) -> None:
        """Fills a tensor with that part of another one which begins at these places, by axis; 0 on the others."""
        shape = self._tensors[target].shape
        begin = [starts.get(axis, 0) for axis in range(len(shape))]
        operands = [source, self.constant(np.array(begin, np.int32)), self.constant(np.array(shape, np.int32))]
        self._emit(self._code("SLICE", self._tensors[source].type), operands, [target], schema.SliceOptionsT())

    def give(self, site: Site, operands: Sequence[int], made: Rows, rows: Rows, options: Any = None) -> None:
        """The operator itself on other operands, which makes certain rows of its one output, cropped to the wanted ones."""
        (target,) = site.op.outputs
        if made == rows:
            self.emit(site, operands, [target], options)
            return
        larger = self.scratch(target, made)
        self.emit(site, operands, [larger], options)
        self.crop(larger, {ROW_AXIS: rows.start - made.start}, target)

    def emit(self, site: Site, operands: Sequence[int], outputs: Sequence[int], options: Any = None) -> None:
        """The operator itself, with other operands; with its own options unless others are given."""
        raw = copy.copy(site.raw)
        raw.inputs, raw.outputs = np.array(operands, np.int32), np.array(outputs, np.int32)
        if options is not None:
            raw.builtinOptions = options
        self._operators.append(raw)

    def finish(self, inputs: Sequence[int], outputs: Sequence[int], what: str) -> bytes:
        """The strip as a TFLite file, its inputs and outputs in this order."""
        originals = self._model.subgraphs[0].operators
        constants = [originals[i] for i in sorted(constant_operators(self._graph, self._operators, outputs))]
        names = {t.tensor_index: t.name for t in self._graph.tensors}
        return pack_operators(self._model, [*constants, *self._operators], inputs, outputs, names, what)

    def _set_rows(self, raw: Any, rows: Rows) -> None:
        shape = np.array(raw.shape, np.int32)
        if len(shape) > ROW_AXIS + 1:
            shape[ROW_AXIS] = rows.count
        raw.shape, raw.shapeSignature = shape, None

    def _emit(self, code: int, operands: Sequence[int], outputs: Sequence[int], options: Any) -> None:
        union = type(options).__name__.removesuffix("T")
        self._operators.append(
            schema.OperatorT(
                opcodeIndex=code,
                inputs=np.array(operands, np.int32),
                outputs=np.array(outputs, np.int32),
                builtinOptions=options,
                builtinOptionsType=getattr(schema.BuiltinOptions, union),
            )
        )

    def _code(self, kind: str, tensor_type: int) -> int:
        version = 1 if tensor_type == schema.TensorType.FLOAT32 else _INTEGER_VERSION
        number = _KIND_NUMBERS[kind]
        codes = self._model.operatorCodes
        for index, code in enumerate(codes):
            if max(code.builtinCode, code.deprecatedBuiltinCode) == number and code.version >= version:
                return index
        codes.append(schema.OperatorCodeT(builtinCode=number, deprecatedBuiltinCode=number, version=version))
        return len(codes) - 1

    def _add(self, raw: Any) -> int:
        self._tensors.append(raw)
        return len(self._tensors) - 1

    def _buffer(self, data: Any) -> int:
        self._model.buffers.append(AlignedBufferT(data))
        return len(self._model.buffers) - 1

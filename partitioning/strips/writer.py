"""Writes the operators of a strip: the whole model's, for a span of rows or channels, with what they need to have it exactly."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from partitioning.extraction import constant_operators, pack_operators
from partitioning.graph import Graph
from partitioning.strips.site import Site
from partitioning.strips.spans import SharedAxis, Span
from partitioning.tflite_schema import OPERATOR_KINDS, AlignedBufferT, indices, schema

Array = np.ndarray[Any, Any]
_KIND_NUMBERS = {name: number for number, name in OPERATOR_KINDS.items()}
# From this version on the kernels take integers; a reader that is older refuses the file by name.
_INTEGER_VERSION = 2


class StripWriter:
    """Operators and tensors of one strip. Tensors of the graph keep their indices; what is added comes after them."""

    def __init__(self, graph: Graph, axis: SharedAxis, spans: Mapping[int, Span]) -> None:
        """Args: spans: of each tensor that arrives or is computed, by index: what of it there is in this strip."""
        self._graph = graph
        self._axis = axis
        self._spans = spans
        self._model = copy.copy(graph.model)
        self._model.buffers = [*graph.model.buffers]
        self._model.operatorCodes = [*graph.model.operatorCodes]
        main = copy.copy(graph.model.subgraphs[0])
        main.tensors = [copy.copy(raw) for raw in main.tensors]
        for tensor_index, there in spans.items():
            self._set_span(main.tensors[tensor_index], there)
        self._model.subgraphs = [main, *graph.model.subgraphs[1:]]
        self._tensors = main.tensors
        self._operators: list[Any] = []
        self._sliced: dict[tuple[int, Span], int] = {}

    def take(self, tensor_index: int, span: Span) -> int:
        """A tensor of the graph with this span and no more, which must be there."""
        there = self._spans[tensor_index]
        if there == span:
            return tensor_index
        key = (tensor_index, span)
        if key not in self._sliced:
            narrower = self.scratch(tensor_index, span)
            self._crop(tensor_index, span.start - there.start, narrower)
            self._sliced[key] = narrower
        return self._sliced[key]

    def scratch(self, like: int, span: Span) -> int:
        """A new tensor of another one's type, scale and shape, but for this span."""
        raw = copy.copy(self._tensors[like])
        self._set_span(raw, span)
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

    def constant_part(self, tensor_index: int, axis: int, span: Span) -> int:
        """That part of a constant, with the scales that belong to it, if each place on the axis has its own."""
        source = self._tensors[tensor_index]
        element = np.dtype(self._graph.tensors[tensor_index].dtype)
        data = np.asarray(self._model.buffers[source.buffer].data, np.uint8).view(element)
        part = self.constant(data.reshape(source.shape).take(range(span.start, span.stop), axis), like=tensor_index)
        quantization = source.quantization
        if (
            quantization is not None
            and len(indices(quantization.scale)) > 1
            and quantization.quantizedDimension == axis
        ):
            own = copy.copy(quantization)
            own.scale = quantization.scale[span.start : span.stop]
            own.zeroPoint = quantization.zeroPoint[span.start : span.stop]
            self._tensors[part].quantization = own
        return part

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

    def _crop(self, source: int, start: int, target: int) -> None:
        shape = self._tensors[target].shape
        begin = [start if axis == self._axis.of(len(shape)) else 0 for axis in range(len(shape))]
        operands = [source, self.constant(np.array(begin, np.int32)), self.constant(np.array(shape, np.int32))]
        self._emit(self._code("SLICE", self._tensors[source].type), operands, [target], schema.SliceOptionsT())

    def give(self, site: Site, operands: Sequence[int], made: Span, wanted: Span, options: Any = None) -> None:
        """The operator itself on other operands, which makes a span of its one output, cropped to the wanted one."""
        (target,) = site.op.outputs
        if made == wanted:
            self.emit(site, operands, [target], options)
            return
        larger = self.scratch(target, made)
        self.emit(site, operands, [larger], options)
        self._crop(larger, wanted.start - made.start, target)

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

    def _set_span(self, raw: Any, span: Span) -> None:
        shape = np.array(raw.shape, np.int32)
        axis = self._axis.of(len(shape))
        if axis is not None:
            shape[axis] = span.count
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

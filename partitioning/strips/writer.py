"""Writes the operators of a strip: the whole model's, for a span of rows or channels, with what they need to have it exactly."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from partitioning.extraction import constant_operators, pack_operators
from partitioning.graph import Array, Graph
from partitioning.model_copy import ModelCopy
from partitioning.strips.site import Site
from partitioning.strips.spans import SharedAxis, Span
from partitioning.tflite_schema import indices, schema

# Of PAD and SLICE, from which on they take integers.
_INTEGER_VERSION = 2


class StripWriter:
    """Operators and tensors of one strip. Tensors of the graph keep their indices; what is added comes after them."""

    def __init__(self, graph: Graph, axis: SharedAxis, spans: Mapping[int, Span]) -> None:
        """Args: spans: of each tensor that arrives or is computed, by index: what of it there is in this strip."""
        self._graph = graph
        self._axis = axis
        self._spans = spans
        self._copy = ModelCopy(graph)
        self._tensors = self._copy.main.tensors
        for tensor_index, there in spans.items():
            raw = self._tensors[tensor_index]
            raw.shape, raw.shapeSignature = self._shape(tensor_index, there), None
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
        return self._copy.add_tensor(like, self._shape(like, span))

    def constant(self, values: Array, like: int | None = None) -> int:
        """A new constant, with another one's type and scale, or of int32."""
        return self._copy.add_constant(values, like)

    def constant_part(self, tensor_index: int, axis: int, span: Span) -> int:
        """That part of a constant, with the scales that belong to it, if each place on the axis has its own."""
        values = self._graph.constant(tensor_index)
        assert values is not None, "what is in no file is an obstacle"
        part = self.constant(values.take(range(span.start, span.stop), axis), like=tensor_index)
        quantization = self._tensors[tensor_index].quantization
        has_scales = quantization is not None and len(indices(quantization.scale)) > 1
        if has_scales and quantization.quantizedDimension == axis:
            own = copy.copy(quantization)
            own.scale = quantization.scale[span.start : span.stop]
            own.zeroPoint = quantization.zeroPoint[span.start : span.stop]
            self._tensors[part].quantization = own
        return part

    def pad(self, tensor_index: int, paddings: Sequence[tuple[int, int]]) -> int:
        """A tensor with so many elements of value 0 before and after it on each axis; itself, if there are none."""
        if not any(before or after for before, after in paddings):
            return tensor_index
        shape = [n + sum(pair) for n, pair in zip(self._tensors[tensor_index].shape, paddings)]
        padded = self._copy.add_tensor(tensor_index, np.array(shape))
        self._emit("PAD", [tensor_index, self.constant(np.array(paddings, np.int32))], padded, schema.PadOptionsT())
        return padded

    def _crop(self, source: int, start: int, target: int) -> None:
        shape = self._tensors[target].shape
        begin = [start if axis == self._axis.of(len(shape)) else 0 for axis in range(len(shape))]
        operands = [source, self.constant(np.array(begin, np.int32)), self.constant(np.array(shape, np.int32))]
        self._emit("SLICE", operands, target, schema.SliceOptionsT())

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
        originals = self._copy.main.operators
        constants = [originals[i] for i in sorted(constant_operators(self._graph, self._operators, outputs))]
        names = {t.tensor_index: t.name for t in self._graph.tensors}
        return pack_operators(self._copy.model, [*constants, *self._operators], inputs, outputs, names, what)

    def _shape(self, tensor_index: int, span: Span) -> Array:
        shape = np.array(self._tensors[tensor_index].shape, np.int32)
        axis = self._axis.of(len(shape))
        if axis is not None:
            shape[axis] = span.count
        return shape

    def _emit(self, kind: str, operands: Sequence[int], output: int, options: Any) -> None:
        is_float = self._tensors[output].type == schema.TensorType.FLOAT32
        union = type(options).__name__.removesuffix("T")
        self._operators.append(
            schema.OperatorT(
                opcodeIndex=self._copy.operator_code(kind, 1 if is_float else _INTEGER_VERSION),
                inputs=np.array(operands, np.int32),
                outputs=np.array([output], np.int32),
                builtinOptions=options,
                builtinOptionsType=getattr(schema.BuiltinOptions, union),
            )
        )

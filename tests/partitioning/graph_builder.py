"""Builds small TFLite files operator by operator, for graphs that no converter would write."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

from partitioning.tflite_schema import AlignedBufferT

Array = np.ndarray[Any, Any]

_TYPES = {
    np.dtype(np.float32): schema.TensorType.FLOAT32,
    np.dtype(np.float16): schema.TensorType.FLOAT16,
    np.dtype(np.int8): schema.TensorType.INT8,
    np.dtype(np.int32): schema.TensorType.INT32,
    np.dtype(np.bool_): schema.TensorType.BOOL,
}
# What kernels ask for, by kind; 1 elsewhere.
_VERSIONS = {"DEQUANTIZE": 3}


class SubgraphBuilder:
    """One subgraph: `tensor`, `constant` and `operator` return tensor indices, which later calls take."""

    def __init__(self, owner: ModelBuilder, name: str) -> None:
        self._owner = owner
        self.raw = schema.SubGraphT(name=name.encode(), tensors=[], operators=[], inputs=[], outputs=[])

    def tensor(
        self,
        shape: Sequence[int],
        dtype: Any = np.float32,
        *,
        name: str = "t",
        scale: float | Sequence[float] | None = None,
        zero_point: int = 0,
        data: Array | None = None,
        tensor_type: int | None = None,
        is_variable: bool = False,
        signature: Sequence[int] | None = None,
    ) -> int:
        """Adds a tensor. Several scales mean one per slice of the first axis, or of the last if that has their number."""
        raw = schema.TensorT(
            shape=np.array(shape, np.int32),
            type=_TYPES[np.dtype(dtype)] if tensor_type is None else tensor_type,
            buffer=self._owner.buffer(data),
            name=name.encode(),
            isVariable=is_variable,
            hasRank=True,
        )
        if signature is not None:
            raw.shapeSignature = np.array(signature, np.int32)
        if scale is not None:
            scales = np.atleast_1d(np.array(scale, np.float32))
            raw.quantization = schema.QuantizationParametersT(
                scale=scales,
                zeroPoint=np.full(len(scales), zero_point, np.int64),
                quantizedDimension=0 if len(scales) == shape[0] else len(shape) - 1,
            )
        self.raw.tensors.append(raw)
        return len(self.raw.tensors) - 1

    def constant(self, data: Array, *, name: str = "c", scale: float | Sequence[float] | None = None) -> int:
        """Adds a tensor with its values in the file."""
        return self.tensor(data.shape, data.dtype, name=name, scale=scale, data=data)

    def operator(
        self, kind: str, inputs: Sequence[int], outputs: Sequence[int], options: Any = None, **fields: Any
    ) -> None:
        """Adds an operator of a builtin kind ("CONV_2D") with an options object of the schema."""
        raw = schema.OperatorT(
            opcodeIndex=self._owner.code(kind),
            inputs=np.array(inputs, np.int32),
            outputs=np.array(outputs, np.int32),
            **fields,
        )
        if options is not None:
            union = type(options).__name__.removesuffix("T")
            if hasattr(schema.BuiltinOptions, union):
                raw.builtinOptions, raw.builtinOptionsType = options, getattr(schema.BuiltinOptions, union)
            else:
                raw.builtinOptions2, raw.builtinOptions2Type = options, getattr(schema.BuiltinOptions2, union)
        self.raw.operators.append(raw)

    def ends(self, inputs: Sequence[int], outputs: Sequence[int]) -> None:
        """Says what goes in and what comes out."""
        self.raw.inputs, self.raw.outputs = np.array(inputs, np.int32), np.array(outputs, np.int32)


class ModelBuilder:
    """A model with a main graph, and further subgraphs on demand."""

    def __init__(self) -> None:
        self.raw = schema.ModelT(
            version=3, operatorCodes=[], subgraphs=[], buffers=[AlignedBufferT()], description=b"made by a test"
        )
        self.codes: dict[str, int] = {}
        self.main = self.subgraph("main")

    def subgraph(self, name: str) -> SubgraphBuilder:
        """Adds a subgraph; its index is its place in order of creation."""
        builder = SubgraphBuilder(self, name)
        self.raw.subgraphs.append(builder.raw)
        return builder

    def buffer(self, data: Array | None) -> int:
        """Adds a buffer of its own for a tensor, empty without data."""
        flat = None if data is None else np.frombuffer(np.ascontiguousarray(data).tobytes(), np.uint8)
        self.raw.buffers.append(AlignedBufferT(flat))
        return len(self.raw.buffers) - 1

    def code(self, kind: str) -> int:
        """Index of an operator code."""
        if kind not in self.codes:
            value = getattr(schema.BuiltinOperator, kind)
            code = schema.OperatorCodeT(deprecatedBuiltinCode=min(value, 127), builtinCode=value)
            code.version = _VERSIONS.get(kind, 1)
            self.codes[kind] = len(self.raw.operatorCodes)
            self.raw.operatorCodes.append(code)
        return self.codes[kind]

    def metadata(self, name: str, data: bytes) -> None:
        """Adds a named piece of metadata."""
        entry = schema.MetadataT(name=name.encode(), buffer=self.buffer(np.frombuffer(data, np.uint8)))
        self.raw.metadata = [*(self.raw.metadata or []), entry]

    def build(self) -> bytes:
        """The finished file."""
        return pack(self.raw)


def pack(model: Any) -> bytes:
    """A schema `ModelT` as a file."""
    builder = flatbuffers.Builder(4096)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def unpack(data: bytes) -> Any:
    """A file as a schema `ModelT`, read by the generated code alone."""
    return schema.ModelT.InitFromObj(schema.Model.GetRootAs(data, 0))

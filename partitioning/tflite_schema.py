"""The one door to the TFLite schema: the flatbuffer classes that LiteRT's wheel ships.

`schema_py_generated` is the output of flatc and imports flatbuffers and numpy only, no runtime and no TensorFlow
(docs/adr/0002). Nothing else in `partitioning` imports anything of LiteRT.
"""

from __future__ import annotations

from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

from partitioning.errors import ModelFormatError

__all__ = ["IDENTIFIER", "OPERATOR_KINDS", "TENSOR_TYPES", "AlignedBufferT", "read_model", "schema", "write_model"]

IDENTIFIER = b"TFL3"

# The schema demands `force_align: 16` for buffers; flatbuffers' own CreateNumpyVector aligns to the element, one byte.
_BUFFER_ALIGNMENT_BYTES = 16
# Room for the vtables and names of one tensor or operator, so that the builder need not grow: growing copies everything.
_OBJECT_BYTES = 512
_OFFSET_BYTES = 4  # of an entry in a vector of tables


def _names_by_value(enum: type) -> dict[int, str]:
    return {value: name for name, value in vars(enum).items() if not name.startswith("_")}


OPERATOR_KINDS: dict[int, str] = _names_by_value(schema.BuiltinOperator)
TENSOR_TYPES: dict[int, str] = _names_by_value(schema.TensorType)


class AlignedBufferT(schema.BufferT):  # type: ignore[misc]  # the generated module is untyped
    """A constant buffer that is packed on a 16-byte boundary, as the runtime's kernels expect."""

    def __init__(self, data: Any = None) -> None:
        super().__init__(data=data)

    def Pack(self, builder: flatbuffers.Builder) -> int:
        """Writes the buffer; the base class would align it to one byte only."""
        vector = None
        if self.data is not None and len(self.data):
            data = np.ascontiguousarray(self.data).view(np.uint8)
            builder.StartVector(1, data.size, _BUFFER_ALIGNMENT_BYTES)
            builder.head = builder.head - data.size
            builder.Bytes[builder.head : builder.head + data.size] = data.data
            vector = builder.EndVector()
        schema.BufferStart(builder)
        if vector is not None:
            schema.BufferAddData(builder, vector)
        return int(schema.BufferEnd(builder))


def read_model(data: bytes) -> Any:
    """Unpacks a TFLite file into the schema's `ModelT`; constant data stays a view of `data`.

    Raises: ModelFormatError: not a TFLite file, truncated, or of a schema version other than 3.
    """
    if len(data) < 8 or bytes(data[4:8]) != IDENTIFIER:
        raise ModelFormatError(
            "not a TFLite file: bytes 4 to 8 are not 'TFL3'. "
            "Expected a .tflite file made by a TensorFlow Lite or LiteRT converter."
        )
    try:
        root = schema.Model.GetRootAs(data, 0)
        _require_own_entries(root, len(data))
        model = schema.ModelT.InitFromObj(root)
    except ModelFormatError:
        raise
    except Exception as error:  # the generated reader raises struct, index, type and Unicode errors on bad bytes
        raise ModelFormatError(
            f"the TFLite file is corrupt or truncated ({error}). Convert or copy it again."
        ) from error
    if model.version != 3:
        raise ModelFormatError(f"TFLite schema version {model.version} is not known; expected 3.")
    if not model.subgraphs or not model.buffers or not model.operatorCodes:
        raise ModelFormatError("the TFLite file holds no graph. Convert the model again.")
    _attach_appended_data(model, data)
    return model


def _require_own_entries(root: Any, file_bytes: int) -> None:
    """Each entry of a vector of tables takes four bytes of its own, unless vectors are shared, as no converter does.

    Unpacking writes out what is shared: of a file of 3 KB with subgraphs that are one and the same, a million tensors.
    """
    graphs = [root.Subgraphs(index) for index in range(root.SubgraphsLength())]
    entries = sum(graph.TensorsLength() + graph.OperatorsLength() for graph in graphs)
    if entries * _OFFSET_BYTES > file_bytes:
        raise ModelFormatError(
            f"the TFLite file is corrupt: its {file_bytes} bytes cannot hold {entries} tensors and operators. Convert or copy it "
            "again."
        )


def write_model(model: Any) -> bytes:
    """Packs a `ModelT` whose buffers are `AlignedBufferT` into a TFLite file."""
    constants = sum(len(b.data) + 64 for b in model.buffers if b.data is not None)
    objects = sum(len(g.tensors) + len(g.operators) for g in model.subgraphs)
    builder = flatbuffers.Builder(constants + _OBJECT_BYTES * (objects + 8))
    builder.Finish(model.Pack(builder), IDENTIFIER)
    return bytes(memoryview(builder.Bytes)[builder.head :])  # one copy; Output() would make another


def indices(values: Any) -> Any:
    """A vector of numbers as unpacked, empty where the file leaves it out."""
    return [] if values is None else values


def text(value: Any) -> str:
    """A string as unpacked, empty where the file leaves it out; what is not UTF-8 in it is replaced."""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value or "")


def _attach_appended_data(model: Any, data: bytes) -> None:
    """Models over 2 GiB keep constants behind the flatbuffer, at `offset`; a partition holds them inside again."""
    for buffer in model.buffers:
        if buffer.data is None and buffer.offset > 1 and buffer.size:
            buffer.data = _appended(data, buffer.offset, buffer.size)
    for raw in [raw for subgraph in model.subgraphs for raw in subgraph.operators or []]:
        if raw.largeCustomOptionsOffset > 1 and raw.largeCustomOptionsSize:
            raw.customOptions = _appended(data, raw.largeCustomOptionsOffset, raw.largeCustomOptionsSize)
            raw.largeCustomOptionsOffset = raw.largeCustomOptionsSize = 0


def _appended(data: bytes, offset: int, size: int) -> Any:
    if offset + size > len(data):
        raise ModelFormatError(
            f"the TFLite file is truncated: constants reach to byte {offset + size}, the file ends at {len(data)}. Copy it again."
        )
    return np.frombuffer(data, np.uint8, size, offset)

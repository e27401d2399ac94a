"""Encoded tensors: every codec's decoder, with shape and dtype as the peer's header says."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import numpy as np

from protos.v1.data_plane_pb2 import Codec, TensorHeader
from protos.v1.tensor_pb2 import DType
from tests.fuzz.target import Run, Target
from transport.errors import CodecUnavailableError, FrameError, TensorError
from transport.frame import EncodedTensor
from transport.tensor_codec import CODECS, CodecSetting, decode_tensor, encode_tensor
from transport.tensor_spec import Array, numpy_dtype

# Codec, dtype, number of dimensions; then each dimension; then the data.
_HEAD = struct.Struct("<BBB")
_DIMENSION = struct.Struct("<i")
# What a board allows is in its deployment, and checked before anything is decoded.
_MOST_BYTES = 2**20


def _input(tensor: EncodedTensor) -> bytes:
    header = tensor.header
    shape = b"".join(map(_DIMENSION.pack, header.shape))
    return _HEAD.pack(header.codec, header.dtype, len(header.shape)) + shape + bytes(tensor.data)


def _seeds() -> Iterator[bytes]:
    smooth = np.maximum(np.sin(np.arange(96)).reshape(1, 4, 4, 6), 0)
    arrays: list[Array] = [
        smooth.astype(np.float32),
        (100 * smooth).astype(np.int8),
        smooth.astype(np.float64),
        smooth > 0,
    ]
    for codec, row in CODECS.items():
        for array in arrays:
            if row.is_available and row.holds(array.dtype):
                yield _input(encode_tensor(array, CodecSetting(codec, 1e-3 if codec == Codec.ZFP_ACCURACY else 0.0)))
    yield _input(encode_tensor(np.zeros((0, 3), np.float32)))
    yield _input(EncodedTensor(TensorHeader(dtype=DType.INT32), b"\1\0\0\0"))


def _start(_scratch: Path) -> AbstractContextManager[Run]:
    return nullcontext(_decode)


def _decode(data: bytes) -> None:
    if len(data) < _HEAD.size:
        return
    codec, dtype, n_dimensions = _HEAD.unpack_from(data)
    start = _HEAD.size + n_dimensions * _DIMENSION.size
    if len(data) < start:
        return
    shape = [n for (n,) in _DIMENSION.iter_unpack(data[_HEAD.size : start])]
    declared_bytes = numpy_dtype(dtype).itemsize * math.prod(max(0, n) for n in shape)
    if declared_bytes > _MOST_BYTES:
        return
    header = TensorHeader(codec=codec, dtype=dtype, shape=shape)
    array = decode_tensor(EncodedTensor(header, memoryview(data)[start:]))
    assert (array.nbytes, list(array.shape)) == (declared_bytes, shape)
    array.sum()  # all of it is there to be read


TARGET = Target("tensor", _start, (FrameError, TensorError, CodecUnavailableError), _seeds)

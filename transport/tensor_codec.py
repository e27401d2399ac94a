"""Codecs: how one tensor becomes bytes on the wire and comes back, bit for bit. One row per codec in `CODECS`."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from protos.v1.data_plane_pb2 import Codec, TensorHeader
from transport.errors import CodecUnavailableError, FrameError
from transport.frame import BytesLike, EncodedTensor
from transport.tensor_spec import Array, numpy_dtype, wire_dtype

try:
    import lz4.block as _lz4
except ImportError:  # no wheel for 32-bit ARM; such a board offers the raw codec only
    _lz4 = None


# A byte of an LZ4 block stands for 255 bytes at most (lz4_Block_format.md): who claims more would take memory for nothing.
_LZ4_MAX_RATIO = 255
_MAX_DIMENSIONS = 32  # numpy 1's limit


@dataclass(frozen=True)
class TensorCodec:
    """One codec. `encode` takes a C-contiguous array; `decode` gives the (size_bytes,) uint8 data back."""

    name: str
    codec: Codec
    is_available: bool
    encode: Callable[[Array], BytesLike]
    decode: Callable[[BytesLike, np.dtype[Any], int], Array]


def codec_named(name: str) -> TensorCodec:
    """The codec of that name. Raises: CodecUnavailableError: unknown, or its library is not installed here."""
    for row in CODECS.values():
        if row.name == name:
            return _available(row)
    raise CodecUnavailableError(f"unknown codec {name!r}: expected one of {', '.join(codec_names())}.")


def codec_names() -> list[str]:
    """The names of all codecs, installed or not."""
    return [row.name for row in CODECS.values()]


def available_codecs() -> list[Codec]:
    """The codecs that this machine can encode and decode."""
    return [row.codec for row in CODECS.values() if row.is_available]


def encode_tensor(array: Array, codec: Codec = Codec.RAW) -> EncodedTensor:
    """An array as it travels; with RAW the data is a view of the array, no copy.

    Raises: CodecUnavailableError: the codec's library is not installed. TensorError: the dtype cannot travel.
    """
    dtype = wire_dtype(array.dtype)
    little_endian = np.ascontiguousarray(array, numpy_dtype(dtype))
    header = TensorHeader(dtype=dtype, shape=array.shape, codec=codec)
    return EncodedTensor(header, _row(codec).encode(little_endian))


def decode_tensor(tensor: EncodedTensor) -> Array:
    """The array; with RAW a read-only view of the received bytes.

    Memory is taken for what the header's dtype and shape say and for no more: check those first (`check_boundary`).
    Raises: FrameError: the data is not what the header says. TensorError: a dtype that this version does not know.
        CodecUnavailableError: the codec is not installed here.
    """
    header = tensor.header
    dtype = numpy_dtype(header.dtype)
    shape = tuple(header.shape)
    if len(shape) > _MAX_DIMENSIONS or any(n < 0 for n in shape):
        raise FrameError(
            f"a tensor's shape {list(shape[:_MAX_DIMENSIONS])} has a negative dimension, or more than {_MAX_DIMENSIONS}."
        )
    size_bytes = math.prod(shape) * dtype.itemsize
    data = _row(header.codec).decode(tensor.data, dtype, size_bytes)
    if data.size != size_bytes:
        raise FrameError(
            f"a tensor of shape {list(shape)} and dtype {dtype.name} has {data.size} bytes, expected {size_bytes}."
        )
    try:
        return data.view(dtype).reshape(shape)
    except ValueError as error:  # a tensor of size 0 in one dimension and of impossible sizes in others
        raise FrameError(f"a tensor of shape {list(shape)} cannot be: {error}.") from error


def _row(codec: Codec) -> TensorCodec:
    row = CODECS.get(codec)
    if row is None:
        raise CodecUnavailableError(f"codec number {int(codec)} is not known to this version.")
    return _available(row)


def _available(row: TensorCodec) -> TensorCodec:
    if not row.is_available:
        raise CodecUnavailableError(f"codec {row.name} needs the package lz4, which is not installed here.")
    return row


def _encode_raw(array: Array) -> BytesLike:
    return array.reshape(-1).view(np.uint8).data


def _decode_raw(data: BytesLike, _dtype: np.dtype[Any], _size_bytes: int) -> Array:
    return np.frombuffer(data, np.uint8)


def _encode_lz4(array: Array) -> BytesLike:
    compressed: bytes = _lz4.compress(_encode_raw(array), store_size=False)
    return compressed


def _decode_lz4(data: BytesLike, _dtype: np.dtype[Any], size_bytes: int) -> Array:
    if size_bytes > _LZ4_MAX_RATIO * len(data):
        raise FrameError(f"{len(data)} bytes of LZ4 data cannot be a tensor of {size_bytes} bytes.")
    try:
        return np.frombuffer(_lz4.decompress(data, uncompressed_size=size_bytes), np.uint8)
    except (_lz4.LZ4BlockError, OverflowError, ValueError) as error:
        raise FrameError(f"a tensor's LZ4 data is damaged: {error}.") from error


def _encode_shuffle_lz4(array: Array) -> BytesLike:
    shuffled = array.reshape(-1).view(np.uint8).reshape(-1, array.dtype.itemsize).T
    return _encode_lz4(np.ascontiguousarray(shuffled))


def _decode_shuffle_lz4(data: BytesLike, dtype: np.dtype[Any], size_bytes: int) -> Array:
    shuffled = _decode_lz4(data, dtype, size_bytes)
    if shuffled.size != size_bytes:
        return shuffled  # the caller says what is wrong with the size
    return np.ascontiguousarray(shuffled.reshape(dtype.itemsize, -1).T).reshape(-1)


CODECS: dict[int, TensorCodec] = {
    row.codec: row
    for row in (
        TensorCodec("raw", Codec.RAW, True, _encode_raw, _decode_raw),
        TensorCodec("lz4", Codec.LZ4, _lz4 is not None, _encode_lz4, _decode_lz4),
        TensorCodec("shuffle-lz4", Codec.SHUFFLE_LZ4, _lz4 is not None, _encode_shuffle_lz4, _decode_shuffle_lz4),
    )
}

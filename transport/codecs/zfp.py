"""ZFP and ZFP_ACCURACY: blocks of 4x4x4 numbers, lossless or each element within a tolerance.

Both ends derive the array that zfp sees from the tensor's shape: dimensions of size 1 are dropped, since zfp fills a block
of 4 along each of them (a (1, H, W, C) array grows threefold), and the first ones are joined until three are left.

The lossless mode is bit-exact for floats and integers, NaN payloads, -0.0 and subnormals among them. The lossy mode keeps its
bound from a tolerance of 2**-24 of the largest value on (float64: 2**-56) and breaks it below, where its own rounding
counts (measured: 1.4 tolerances at 2**-26); it knows no NaN or infinity, and near the ends of the exponents it overflows.
So tensors outside `_Limits` go losslessly; inside, no check by decoding is needed.

zfp reads on beyond the end of a stream that is too short, into whatever memory follows. A decoder therefore hands it a copy
padded with zeros to the longest stream that the shape can have; beside the tensor's own memory that takes as much again,
and up to eight times as much where no dimension has more than two elements.

Measured on one x86-64 core with 1 MiB of float32 after a ReLU: lossless to 99 % at 260 MB/s, back 250; within 1e-3 of
values up to 5 to 48 % at 380, back 410.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Set
from dataclasses import dataclass
from typing import Any

import numpy as np

from protos.v1.data_plane_pb2 import Codec
from transport.codecs.codec import TensorCodec
from transport.errors import FrameError
from transport.frame import BytesLike
from transport.tensor_spec import Array

try:
    import zfpy as _zfpy
except ImportError:  # no wheel for 32-bit ARM
    _zfpy = None

_MOST_DIMENSIONS = 3
_BLOCK_SIDE = 4
# Per block at most: flags, exponent and precision, then per value its bits and one more.
_BLOCK_HEADER_BITS = 20
_WORD_BYTES = 8
# What a stream of the lossy mode starts with: floor(log2(tolerance)), all that zfp uses of it.
_EXPONENT = struct.Struct("<h")
_MAX_BYTES = 2**31 - 1


@dataclass(frozen=True)
class _Limits:
    """Where the lossy mode keeps its bound; powers of two."""

    relative_tolerance: float  # to the largest value
    tolerance: float
    value: float


# 16 times the relative tolerance from which the bound holds, and exponents away from both ends by more than the block's bits.
_LIMITS: dict[np.dtype[Any], _Limits] = {
    np.dtype("<f4"): _Limits(2.0**-20, 2.0**-80, 2.0**120),
    np.dtype("<f8"): _Limits(2.0**-52, 2.0**-900, 2.0**1000),
}
_FLOATS: frozenset[np.dtype[Any]] = frozenset(_LIMITS)
_DTYPES: frozenset[np.dtype[Any]] = _FLOATS | {np.dtype("<i4"), np.dtype("<i8")}


def zfp_shape(shape: tuple[int, ...]) -> tuple[int, ...]:
    """The one to three dimensions that zfp gets of a tensor without empty dimensions."""
    kept = [n for n in shape if n != 1] or [1]
    joined = len(kept) - _MOST_DIMENSIONS + 1
    return (math.prod(kept[:joined]), *kept[joined:]) if joined > 1 else tuple(kept)


def _encode(array: Array, _tolerance: float, _decodable: Set[Codec]) -> BytesLike | None:
    if array.nbytes > _MAX_BYTES:
        return None
    stream: bytes = _zfpy.compress_numpy(array.reshape(zfp_shape(array.shape)), write_header=False)
    return stream


def _encode_within(array: Array, tolerance: float, _decodable: Set[Codec]) -> BytesLike | None:
    limits = _LIMITS[array.dtype]
    with np.errstate(invalid="ignore"):
        largest = max(-float(array.min()), float(array.max()))
    # A NaN anywhere makes both NaN, and comparisons with it are false.
    if not largest < limits.value or tolerance < max(limits.tolerance, largest * limits.relative_tolerance):
        return None
    if array.nbytes > _MAX_BYTES:
        return None
    exponent = min(math.frexp(tolerance)[1] - 1, 1023)
    blocks = array.reshape(zfp_shape(array.shape))
    stream: bytes = _zfpy.compress_numpy(blocks, tolerance=2.0**exponent, write_header=False)
    return _EXPONENT.pack(exponent) + stream


def _decode(data: BytesLike, dtype: np.dtype[Any], shape: tuple[int, ...]) -> Array:
    if dtype not in _DTYPES:
        raise FrameError(f"ZFP data cannot be a tensor of dtype {dtype.name}.")
    return _decompress(bytes(data), dtype, shape, -1.0)


def _decode_within(data: BytesLike, dtype: np.dtype[Any], shape: tuple[int, ...]) -> Array:
    if dtype not in _FLOATS:
        raise FrameError(f"ZFP data with a tolerance cannot be a tensor of dtype {dtype.name}.")
    if len(data) < _EXPONENT.size:
        raise FrameError(f"{len(data)} bytes of ZFP data are too few to say their tolerance.")
    (exponent,) = _EXPONENT.unpack_from(data)
    if not -1074 <= exponent <= 1023:
        raise FrameError(f"ZFP data with a tolerance of 2**{exponent} cannot be.")
    return _decompress(bytes(data[_EXPONENT.size :]), dtype, shape, math.ldexp(1.0, exponent))


def _decompress(stream: bytes, dtype: np.dtype[Any], shape: tuple[int, ...], tolerance: float) -> Array:
    """The tensor's memory; a negative tolerance is the lossless mode."""
    size_bytes = math.prod(shape) * dtype.itemsize
    if not 0 < size_bytes <= _MAX_BYTES:
        raise FrameError(f"ZFP data cannot be a tensor of {size_bytes} bytes.")
    field = zfp_shape(shape)
    blocks = math.prod(-(-n // _BLOCK_SIDE) for n in field)
    if blocks > 8 * len(stream):  # a block takes a bit at least
        raise FrameError(f"{len(stream)} bytes of ZFP data cannot be a tensor of {size_bytes} bytes.")
    values = _BLOCK_SIDE ** len(field)
    most_bits = blocks * (_BLOCK_HEADER_BITS + values * (8 * dtype.itemsize + 1))
    padded = stream.ljust(most_bits // 8 + 2 * _WORD_BYTES, b"\0")
    out = np.empty(field, dtype)
    try:
        _zfpy._decompress(padded, _zfpy.dtype_to_ztype(dtype), field, out=out, tolerance=tolerance)
    except RuntimeError as error:
        raise FrameError(f"a tensor's ZFP data is damaged: {error}.") from error
    return out.reshape(-1).view(np.uint8)


_HERE = _zfpy is not None
LOSSLESS = TensorCodec("zfp", Codec.ZFP, True, _DTYPES, Codec.SHUFFLE_LZ4, "zfpy", _HERE, _encode, _decode)
ACCURACY = TensorCodec(
    "zfp:TOLERANCE", Codec.ZFP_ACCURACY, False, _FLOATS, Codec.ZFP, "zfpy", _HERE, _encode_within, _decode_within
)

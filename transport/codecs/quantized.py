"""QUANTIZED_8 and QUANTIZED_4: float32 as 8 or 4 bit integers, one scale for the tensor; then LZ4 where that helps.

    q = round(x / scale) + zero, saturated to 0 .. 2**bits - 1;    x' = (q - zero) * scale

The range always holds zero, which comes back as zero. It is the tensor's own range or a part of it, `clipping_range`; inside it
|x - x'| <= scale / 2, and beyond it the distance to its nearer edge more, both but for float32's rounding, 2**-12 of a scale.
The integers are packed channel by channel. Holds finite values; others go by shuffle and LZ4.

Measured on one x86-64 core with 1 MiB of data after a ReLU: 8 bits to 21 % at 1300 to 1600 MB/s, back 3400; 4 bits to 11 % at
1600 to 2000, back 3100; some 50 us of that, whatever the size, choose the range. Tensors of 64 KB: 500, back 2000.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Set
from typing import Any

import numpy as np

from protos.v1.data_plane_pb2 import Codec
from transport.codecs import lz4_block
from transport.codecs.channel_planes import from_planes, to_planes
from transport.codecs.codec import Decode, Encode, TensorCodec, as_bytes
from transport.errors import FrameError
from transport.frame import BytesLike
from transport.tensor_spec import Array

_SINGLE = np.dtype("<f4")
# How the integers follow (as they are, or one LZ4 block), zero, scale.
_PREFIX = struct.Struct("<BBf")
_PLAIN, _LZ4 = 0, 1
# A block of LZ4 is worth its decoding from this share of the plain bytes on.
_WORTH = 0.95
# Ranges outside leave float32's exponents no room for the scale's reciprocal, or for sums of squares.
_LEAST_RANGE, _MOST_RANGE = 2.0**-100, 2.0**60
# Shares of the whole range that are tried. With 4 bits and values half-normal, 0.5 to 0.7 is usual.
_SHARES = np.array([1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1], np.float32)
_SAMPLE = 1024


def clipping_range(array: Array, low: float, high: float, levels: int) -> float:
    """The share of the range low..high whose mean squared error is the least, of ten, judged by a sample of the elements.

    The sample is some 1000 elements at equal distances, and the two extremes with the weight of one element each.
    Args:
        array: (n,) float32, finite; low <= 0 and high >= 0 are its extremes, or zero.
        levels: the largest integer.
    """
    # An odd step: with an even one all elements could be of one channel.
    sample = array[:: max(1, array.size // _SAMPLE) | 1]
    scales = _SHARES * np.float32((high - low) / levels)
    scaled = sample[None, :] / scales[:, None]  # (shares, sample)
    edges = np.array([[low], [high]], np.float32) * _SHARES / scales  # (2, shares)
    kept = np.clip(np.rint(scaled), edges[0][:, None], edges[1][:, None])
    errors = ((scaled - kept) ** 2).mean(axis=1) * scales**2
    beyond = (np.array([[low], [high]], np.float32) * (1 - _SHARES)) ** 2
    return float(_SHARES[np.argmin(errors + beyond.sum(axis=0) / array.size)])


def _encoder(bits: int) -> Encode:
    levels = 2**bits - 1

    def encode(array: Array, _tolerance: float, decodable: Set[Codec]) -> BytesLike | None:
        flat = array.reshape(-1)
        with np.errstate(invalid="ignore"):
            # NaN first, which max would drop: a NaN anywhere makes both NaN, and comparisons with it are false.
            low, high = min(float(flat.min()), 0.0), max(float(flat.max()), 0.0)
        whole = high - low
        if whole and not _LEAST_RANGE < whole < _MOST_RANGE:
            return None
        share = clipping_range(flat, low, high, levels) if whole else 1.0
        scale = np.float32(whole * share / levels) if whole else np.float32(1)
        zero = round(-low * share / float(scale))
        packed = _PACK[bits](to_planes(_integers(flat, scale, zero, levels).reshape(array.shape)))
        kind = _PLAIN
        body: BytesLike = as_bytes(packed)
        if lz4_block.IS_AVAILABLE and Codec.LZ4 in decodable:
            block = lz4_block.compress(body)
            if block is not None and len(block) < _WORTH * packed.size:
                kind, body = _LZ4, block
        return b"".join((_PREFIX.pack(kind, zero, scale), body))

    return encode


def _integers(flat: Array, scale: np.float32, zero: int, levels: int) -> Array:
    """(n,) uint8: round half up, by truncation."""
    scaled = flat * np.float32(1 / float(scale))
    scaled += np.float32(zero + 0.5)
    np.clip(scaled, 0, levels, out=scaled)
    return scaled.astype(np.uint8)


def _decoder(bits: int) -> Decode:
    def decode(data: BytesLike, dtype: np.dtype[Any], shape: tuple[int, ...]) -> Array:
        count = math.prod(shape)
        if dtype != _SINGLE or len(data) < _PREFIX.size:
            raise FrameError(f"{len(data)} bytes of dtype {dtype.name} are no quantised float32.")
        kind, zero, scale = _PREFIX.unpack_from(data)
        if kind not in (_PLAIN, _LZ4) or not 0 < scale < _MOST_RANGE or zero >= 2**bits:
            raise FrameError(f"quantised data of kind {kind}, scale {scale} and zero {zero} cannot be.")
        body = memoryview(data)[_PREFIX.size :]
        size_bytes = -(-count * bits // 8)
        if kind == _LZ4 and not lz4_block.IS_AVAILABLE:
            raise FrameError("quantised data came with LZ4, which is not installed here.")
        if not count:
            raise FrameError("quantised data cannot be a tensor without elements.")
        packed = lz4_block.decompress(body, size_bytes) if kind == _LZ4 else np.frombuffer(body, np.uint8)
        if packed.size != size_bytes:
            raise FrameError(
                f"a tensor of {count} elements has {packed.size} bytes of integers, expected {size_bytes}."
            )
        values = from_planes(_UNPACK[bits](packed, count), shape).astype(_SINGLE)
        values -= np.float32(zero)
        values *= np.float32(scale)
        return values.view(np.uint8)

    return decode


def _pack_4(integers: Array) -> Array:
    """((n + 1) // 2,) uint8: the first of two neighbours in the low half. Zero runs stay runs, which LZ4 likes."""
    packed = integers[0::2].copy()
    packed[: integers.size // 2] |= integers[1::2] << 4
    return packed


def _unpack_4(packed: Array, count: int) -> Array:
    values = np.empty(count, np.uint8)
    values[0::2] = packed & 15
    values[1::2] = packed[: count // 2] >> 4
    return values


_PACK: dict[int, Callable[[Array], Array]] = {8: lambda integers: integers, 4: _pack_4}
_UNPACK: dict[int, Callable[[Array, int], Array]] = {8: lambda packed, _count: packed, 4: _unpack_4}


def _row(name: str, codec: Codec, bits: int) -> TensorCodec:
    dtypes = frozenset({_SINGLE})
    return TensorCodec(name, codec, False, dtypes, Codec.SHUFFLE_LZ4, "", True, _encoder(bits), _decoder(bits))


EIGHT = _row("q8", Codec.QUANTIZED_8, 8)
FOUR = _row("q4", Codec.QUANTIZED_4, 4)

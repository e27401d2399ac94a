"""SHUFFLE_LZ4: channel by channel, and of that the bytes of equal significance side by side, the least first; then LZ4.

Floats of one channel share signs and exponents, whose bytes then form runs; single bytes are only put channel by channel.
Shuffling by integer shifts runs at 9 GB/s and back at 6, where numpy's transposition of bytes gives 4 and 1.5 (x86-64, one core);
LZ4 decides the rest: 1 MiB of float32 at 540 MB/s, back 990; int8 at 520, back 1020. On int8 it beats plain LZ4, on floats after
a ReLU it often does not: zeros break the runs of exponents.
"""

from __future__ import annotations

import math
from collections.abc import Set
from typing import Any

import numpy as np

from protos.v1.data_plane_pb2 import Codec
from transport.codecs import lz4_block
from transport.codecs.channel_planes import from_planes, to_planes
from transport.codecs.codec import TensorCodec, as_bytes
from transport.frame import BytesLike
from transport.tensor_spec import Array

_WORDS: dict[int, np.dtype[Any]] = {1: np.dtype("u1"), 2: np.dtype("<u2"), 4: np.dtype("<u4"), 8: np.dtype("<u8")}


def _encode(array: Array, _tolerance: float, _decodable: Set[Codec]) -> BytesLike | None:
    words = to_planes(array.view(_WORDS[array.dtype.itemsize]))
    if words.itemsize == 1:
        return lz4_block.compress(as_bytes(words))
    planes = np.empty((words.itemsize, words.size), np.uint8)
    for k, plane in enumerate(planes):
        np.right_shift(words, 8 * k, out=plane, casting="unsafe")
    return lz4_block.compress(as_bytes(planes))


def _decode(data: BytesLike, dtype: np.dtype[Any], shape: tuple[int, ...]) -> Array:
    size_bytes = math.prod(shape) * dtype.itemsize
    shuffled = lz4_block.decompress(data, size_bytes)
    if shuffled.size != size_bytes or not size_bytes:
        return shuffled  # of a wrong size: the caller says so
    planes = shuffled.reshape(dtype.itemsize, -1)
    words = planes[-1].astype(_WORDS[dtype.itemsize])
    for plane in planes[-2::-1]:
        words <<= 8
        words |= plane
    memory: Array = from_planes(words, shape).view(np.uint8)
    return memory


ROW = TensorCodec(
    "shuffle-lz4", Codec.SHUFFLE_LZ4, True, None, Codec.LZ4, "lz4", lz4_block.IS_AVAILABLE, _encode, _decode
)

"""SHUFFLE_LZ4: bytes of equal significance side by side, least significant first, then LZ4.

Floats of one layer share signs and exponents, whose bytes then form runs. Single bytes have nothing to shuffle and go as LZ4.
Shuffling by integer shifts runs at 9 GB/s and back at 6, where numpy's transposition gives 4 and 1.5 (x86-64, one core);
LZ4 decides the rest: 860 MB/s, back 2600. After a ReLU plain LZ4 often wins: zeros break the runs of exponents.
"""

from __future__ import annotations

import math
from collections.abc import Set
from typing import Any

import numpy as np

from protos.v1.data_plane_pb2 import Codec
from transport.codecs import lz4_block
from transport.codecs.codec import TensorCodec, as_bytes
from transport.frame import BytesLike
from transport.tensor_spec import Array

_WORDS: dict[int, np.dtype[Any]] = {2: np.dtype("<u2"), 4: np.dtype("<u4"), 8: np.dtype("<u8")}
_DTYPES: frozenset[np.dtype[Any]] = frozenset(
    np.dtype(name) for name in ("<f2", "<f4", "<f8", "<i2", "<i4", "<i8", "<u2", "<u4", "<u8")
)


def _encode(array: Array, _tolerance: float, _decodable: Set[Codec]) -> BytesLike | None:
    words = array.reshape(-1).view(_WORDS[array.dtype.itemsize])
    planes = np.empty((words.itemsize, words.size), np.uint8)
    for k, plane in enumerate(planes):
        np.right_shift(words, 8 * k, out=plane, casting="unsafe")
    return lz4_block.compress(as_bytes(planes))


def _decode(data: BytesLike, dtype: np.dtype[Any], shape: tuple[int, ...]) -> Array:
    size_bytes = math.prod(shape) * dtype.itemsize
    shuffled = lz4_block.decompress(data, size_bytes)
    if shuffled.size != size_bytes or dtype.itemsize == 1:
        return shuffled  # of a wrong size: the caller says so
    planes = shuffled.reshape(dtype.itemsize, -1)
    words = planes[-1].astype(_WORDS[dtype.itemsize])
    for plane in planes[-2::-1]:
        words <<= 8
        words |= plane
    memory: Array = words.view(np.uint8)
    return memory


ROW = TensorCodec(
    "shuffle-lz4", Codec.SHUFFLE_LZ4, True, _DTYPES, Codec.LZ4, "lz4", lz4_block.IS_AVAILABLE, _encode, _decode
)

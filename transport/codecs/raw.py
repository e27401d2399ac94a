"""RAW: a tensor's memory as it is. Costs nothing: views on both sides."""

from __future__ import annotations

from collections.abc import Set
from typing import Any

import numpy as np

from protos.v1.data_plane_pb2 import Codec
from transport.codecs.codec import TensorCodec, as_bytes
from transport.frame import BytesLike
from transport.tensor_spec import Array


def _encode(array: Array, _tolerance: float, _decodable: Set[Codec]) -> BytesLike:
    return as_bytes(array)


def _decode(data: BytesLike, _dtype: np.dtype[Any], _shape: tuple[int, ...]) -> Array:
    return np.frombuffer(data, np.uint8)


ROW = TensorCodec("raw", Codec.RAW, True, None, Codec.RAW, "", True, _encode, _decode)

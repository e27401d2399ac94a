"""What a codec is: one row of the registry."""

from __future__ import annotations

from collections.abc import Callable, Set
from dataclasses import dataclass
from typing import Any, Optional

import numpy as np

from protos.v1.data_plane_pb2 import Codec
from transport.frame import BytesLike
from transport.tensor_spec import Array

# (array, tolerance, codecs that the receiver can decode): the data, or None where the codec cannot hold these values.
# The array is C-contiguous, little-endian, not empty and of a dtype that the row names.
Encode = Callable[[Array, float, Set[Codec]], Optional[BytesLike]]
# (data, dtype, shape): the tensor's (size_bytes,) uint8 memory, a view of `data` where that is possible.
# Raises FrameError for data that no encoder made; takes memory for the shape and no more, as its module says.
Decode = Callable[[BytesLike, "np.dtype[Any]", tuple[int, ...]], Array]


@dataclass(frozen=True)
class TensorCodec:
    """One codec: what it is called, what it can hold and what goes how instead, and its two functions."""

    name: str
    codec: Codec
    is_lossless: bool
    # None: every dtype that travels.
    dtypes: frozenset[np.dtype[Any]] | None
    # How a tensor goes that this codec cannot hold.
    otherwise: Codec
    # The package it needs; empty if numpy is enough.
    package: str
    is_available: bool
    encode: Encode
    decode: Decode

    def holds(self, dtype: np.dtype[Any]) -> bool:
        """Whether tensors of this type can be coded so; a tensor's values may still forbid it."""
        return self.dtypes is None or dtype in self.dtypes


def as_bytes(array: Array) -> memoryview:
    """The memory of a C-contiguous array, no copy."""
    return array.reshape(-1).view(np.uint8).data

"""The pieces of tensors that a board has of one frame: computed here, or received."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from bundle.errors import BundleError
from protos.v1.manifest_pb2 import Piece
from protos.v1.tensor_pb2 import TensorSpec
from transport.tensor_spec import Array, numpy_dtype


class ShareError(BundleError):
    """A share cannot be followed: it has pieces that cannot be, or reads what it does not have."""


@dataclass(frozen=True)
class Place:
    """Where a piece lies in its tensor: [start, stop) along one dimension, which is None where it is all of the tensor."""

    tensor: int
    dimension: int | None
    start: int
    stop: int
    shape: tuple[int, ...]
    dtype: np.dtype[np.generic]

    @cached_property
    def n_bytes(self) -> int:
        """Size of the piece."""
        return math.prod(self.shape) * self.dtype.itemsize

    @classmethod
    def of(cls, piece: Piece, specs: Sequence[TensorSpec]) -> Place:
        """Raises: ShareError: there is no such piece."""
        if piece.tensor >= len(specs):
            raise ShareError(f"a share has a piece of tensor {piece.tensor}, and {len(specs)} tensors.")
        spec = specs[piece.tensor]
        shape, dtype = tuple(spec.shape), numpy_dtype(spec.dtype)
        if any(n < 0 for n in shape):
            raise ShareError(f"tensor {spec.name} of a share has the open shape {list(shape)}; expected a fixed one.")
        if not piece.stop:
            return cls(piece.tensor, None, 0, 0, shape, dtype)
        if piece.dimension >= len(shape) or not piece.start < piece.stop <= shape[piece.dimension]:
            raise ShareError(
                f"a share has the piece {piece.start} to {piece.stop} of dimension {piece.dimension} of {spec.name} {list(shape)}."
            )
        part = (*shape[: piece.dimension], piece.stop - piece.start, *shape[piece.dimension + 1 :])
        return cls(piece.tensor, piece.dimension, piece.start, piece.stop, part, dtype)


class Pieces:
    """Those of one frame. Nothing that is not there can be read, so that no frame sees another one's."""

    def __init__(self) -> None:
        self._parts: dict[int, list[tuple[Place, Array]]] = {}

    def add(self, place: Place, values: Array) -> None:
        """Args: values: of the place's shape; must not change until the frame is done."""
        self._parts.setdefault(place.tensor, []).append((place, values))

    def get(self, wanted: Place) -> Array:
        """A view of a piece where all of it came as one, else a copy that joins those it came in.

        Raises: ShareError: not all of it is there.
        """
        parts = self._parts.get(wanted.tensor, [])
        for place, values in parts:
            if (place.dimension, place.start, place.shape) == (wanted.dimension, wanted.start, wanted.shape):
                return values
            if place.dimension is None:
                return _cut(values, wanted.dimension, wanted.start, wanted.stop)
        along = parts[0][0].dimension if parts else wanted.dimension
        if along is None:
            raise ShareError("a share reads a tensor that it neither computed nor received.")
        if along == wanted.dimension:
            return _joined(parts, along, wanted.start, wanted.stop)
        values = _joined(
            parts, along, 0, max(place.stop for place, _ in parts)
        )  # shared another way, and so needed whole
        values = _cut(values, wanted.dimension, wanted.start, wanted.stop)
        if values.shape != wanted.shape:
            raise ShareError(f"a share reads {list(wanted.shape)} of a tensor and has {list(values.shape)} of it.")
        return values


def _joined(parts: Sequence[tuple[Place, Array]], dimension: int, start: int, stop: int) -> Array:
    """What lies between two places along the dimension of the pieces, without a copy if one piece has it all."""
    reached = start
    found = []
    for place, values in sorted(parts, key=lambda part: (part[0].start, -part[0].stop)):
        if place.start <= reached < min(place.stop, stop):
            upto = min(place.stop, stop)
            found.append(_cut(values, dimension, reached - place.start, upto - place.start))
            reached = upto
    if reached < stop:
        raise ShareError(f"a share reads [{start}, {stop}) of a tensor, of which it neither computed nor received all.")
    return found[0] if len(found) == 1 else np.concatenate(found, axis=dimension)


def _cut(values: Array, dimension: int | None, start: int, stop: int) -> Array:
    if dimension is None or (start, stop) == (0, values.shape[dimension]):
        return values
    return values[(slice(None),) * dimension + (slice(start, stop),)]

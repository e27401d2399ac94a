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


@dataclass(frozen=True)
class Assembly:
    """How a piece comes from those that are there: some are cut and joined along a dimension, and what that gives is cut again.

    Attributes:
        dimension: along which they are joined; None: it is all of one tensor.
        cuts: (piece, start, stop), each within its piece.
        rest: (dimension, start, stop) of what they give.
    """

    dimension: int | None
    cuts: Sequence[tuple[int, int, int]]
    rest: tuple[int | None, int, int] = (None, 0, 0)

    @classmethod
    def of(cls, parts: Sequence[Place], wanted: Place) -> Assembly:
        """Raises: ShareError: not all of it is there."""
        for index, part in enumerate(parts):
            if (part.dimension, part.start, part.shape) == (wanted.dimension, wanted.start, wanted.shape):
                return cls(None, [(index, 0, 0)])
            if part.dimension is None:
                return cls(None, [(index, 0, 0)], (wanted.dimension, wanted.start, wanted.stop))
        along = parts[0].dimension if parts else wanted.dimension
        if along is None:
            raise ShareError("a share reads a tensor that it neither computed nor received.")
        if along == wanted.dimension:
            return cls(along, _side_by_side(parts, along, wanted.start, wanted.stop))
        # Shared another way, and so needed whole.
        return cls(
            along, _side_by_side(parts, along, 0, wanted.shape[along]), (wanted.dimension, wanted.start, wanted.stop)
        )


class Pieces:
    """Those of one frame. Nothing that is not there can be read, so that no frame sees another one's."""

    def __init__(self) -> None:
        self._places: dict[int, list[Place]] = {}
        self._values: dict[int, list[Array]] = {}

    def add(self, place: Place, values: Array) -> None:
        """Args: values: of the place's shape; must not change until the frame is done, or `own` has them copied.

        Raises: ShareError: they have another shape.
        """
        if values.shape != place.shape:
            raise ShareError(f"a piece has shape {list(values.shape)}, expected {list(place.shape)}.")
        self._places.setdefault(place.tensor, []).append(place)
        self._values.setdefault(place.tensor, []).append(values)

    def own(self, given: Sequence[Array]) -> None:
        """Copies these arrays, which were added: whoever has their memory wants it for another frame."""
        for values in self._values.values():
            values[:] = [value.copy() if any(value is one for one in given) else value for value in values]

    def get(self, wanted: Place) -> Array:
        """A view of a piece where all of it came as one, else a copy that joins those it came in.

        Raises: ShareError: not all of it is there.
        """
        made, found = self._found(wanted)
        return _cut(found[0] if len(found) == 1 else np.concatenate(found, axis=made.dimension), *made.rest)

    def copy_to(self, wanted: Place, target: Array) -> None:
        """Writes a piece into an array of its shape. Raises: ShareError: not all of it is there."""
        made, found = self._found(wanted)
        if len(found) == 1 or made.rest[0] is not None:
            np.copyto(target, self.get(wanted))
        else:
            np.concatenate(found, axis=made.dimension, out=target)

    def _found(self, wanted: Place) -> tuple[Assembly, list[Array]]:
        """How it comes together, and the parts that are to be joined."""
        made = Assembly.of(self._places.get(wanted.tensor, []), wanted)
        values = self._values[wanted.tensor]
        return made, [_cut(values[index], made.dimension, start, stop) for index, start, stop in made.cuts]


def _side_by_side(parts: Sequence[Place], dimension: int, start: int, stop: int) -> list[tuple[int, int, int]]:
    """What lies between two places along the dimension that pieces share, without a copy if one piece has it all."""
    reached = start
    found = []
    shared = [(part.start, -part.stop, index) for index, part in enumerate(parts) if part.dimension == dimension]
    for begin, end, index in sorted(shared):
        upto = min(-end, stop)
        if begin <= reached < upto:
            found.append((index, reached - begin, upto - begin))
            reached = upto
    if reached < stop:
        raise ShareError(f"a share reads [{start}, {stop}) of a tensor, of which it neither computed nor received all.")
    return found


def _cut(values: Array, dimension: int | None, start: int, stop: int) -> Array:
    if dimension is None or (start, stop) == (0, values.shape[dimension]):
        return values
    return values[(slice(None),) * dimension + (slice(start, stop),)]

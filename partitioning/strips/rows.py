"""Rows of a tensor: the axis along which boards share a layer."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from partitioning.graph import Tensor

# Of (batch, rows, columns, channels); in this layout a range of rows of one sample lies in one piece.
ROW_AXIS = 1


@dataclass(frozen=True, order=True)
class Rows:
    """Rows [start, stop) of a tensor, counted in the whole of it."""

    start: int
    stop: int

    @property
    def count(self) -> int:
        """How many there are; 0 of an empty range."""
        return max(0, self.stop - self.start)

    def clipped(self, height: int) -> Rows:
        """Those that a tensor of so many rows has."""
        return Rows(max(0, self.start), min(height, self.stop))

    def contains(self, other: Rows) -> bool:
        """Whether all of the other are among these."""
        return self.start <= other.start and other.stop <= self.stop


def hull(ranges: Iterable[Rows]) -> Rows:
    """The smallest range that contains all of these, one at least."""
    found = [*ranges]
    return Rows(min(rows.start for rows in found), max(rows.stop for rows in found))


def height(tensor: Tensor) -> int:
    """How many rows a tensor has; 1 if it has no such axis, so that its one row is all of it."""
    return tensor.usual_shape[ROW_AXIS] if len(tensor.usual_shape) > ROW_AXIS + 1 else 1

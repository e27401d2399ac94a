"""What boards share of a tensor: a span of its rows, or of its channels."""

from __future__ import annotations

import enum
from collections.abc import Iterable
from dataclasses import dataclass

from partitioning.graph import Tensor

# Of (batch, rows, columns, channels); in this layout a span of rows of one sample lies in one piece.
ROW_AXIS = 1


class SharedAxis(enum.Enum):
    """Along which axis boards share the tensors of a segment."""

    ROWS = "rows"  # of images; halos cross between boards
    CHANNELS = "channels"  # of what has no image any more; all boards take all of the input

    def of(self, rank: int) -> int | None:
        """The axis of a tensor; None if one of this rank cannot be shared, and counts as one piece."""
        if self is SharedAxis.CHANNELS:
            return rank - 1 if rank else None
        return ROW_AXIS if rank > ROW_AXIS + 1 else None

    def extent(self, tensor: Tensor) -> int:
        """How many rows or channels there are; 1 if the tensor has no such axis, so that its one is all of it."""
        axis = self.of(len(tensor.usual_shape))
        return 1 if axis is None else tensor.usual_shape[axis]


@dataclass(frozen=True, order=True)
class Span:
    """Span, or channels, [start, stop) of a tensor, counted in the whole of it."""

    start: int
    stop: int

    @property
    def count(self) -> int:
        """How many there are; 0 of an empty span."""
        return max(0, self.stop - self.start)

    def clipped(self, extent: int) -> Span:
        """Those that a tensor of so many has."""
        return Span(max(0, self.start), min(extent, self.stop))

    def contains(self, other: Span) -> bool:
        """Whether all of the other are among these."""
        return self.start <= other.start and other.stop <= self.stop


def hull(spans: Iterable[Span]) -> Span:
    """The smallest span that contains all of these, one at least."""
    found = [*spans]
    return Span(min(span.start for span in found), max(span.stop for span in found))

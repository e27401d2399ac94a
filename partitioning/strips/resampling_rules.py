"""Operators that give several rows for one, or one for several: transposed convolution, resizing, moves between axes."""

from __future__ import annotations

import copy
from abc import abstractmethod
from fractions import Fraction
from math import ceil, floor
from typing import Any

import numpy as np

from partitioning.strips.local_rules import hybrid_obstacle
from partitioning.strips.rows import ROW_AXIS, Rows
from partitioning.strips.rule import RowRule
from partitioning.strips.site import Array, Site
from partitioning.strips.window_rules import Window
from partitioning.strips.writer import StripWriter
from partitioning.tflite_schema import schema

_COLUMN_AXIS = ROW_AXIS + 1


class TransposedConvolution(RowRule):
    """TRANSPOSE_CONV with its own padding, cropped. Operands: shape, weights, input, bias.

    SAME cuts the same number of rows off for any height, so that a strip's rows lie where the whole's do.
    """

    def obstacle(self, site: Site) -> str | None:
        """Its shape is computed or unusual, or its scale is chosen from all rows."""
        if site.constant(0) is None:
            return "its shape is computed"
        given, stride = site.height(site.operands[2]), site.options.strideH
        if site.options.padding == schema.Padding.SAME and site.height(site.op.outputs[0]) != given * stride:
            return f"{given} rows become {site.height(site.op.outputs[0])} by a stride of {stride}"
        return hybrid_obstacle(site, site.operands[2])

    def reads(self, site: Site, rows: Rows) -> dict[int, Rows]:
        """Those whose windows reach these rows."""
        return {site.operands[2]: self._there(site, rows)}

    def write(self, site: Site, rows: Rows, strip: StripWriter) -> None:
        """All that these rows give, then cropped."""
        there, stride = self._there(site, rows), site.options.strideH
        first, stop = there.start * stride, there.stop * stride
        if site.options.padding == schema.Padding.VALID:
            stop = max(stop - stride + self._window(site).size, rows.stop)
        shape = np.array(site.result.usual_shape, np.int32)
        shape[ROW_AXIS] = stop - first
        operands = [strip.constant(shape), site.operands[1], strip.take(site.operands[2], there), *site.operands[3:]]
        strip.give(site, operands, Rows(first, stop), rows)

    def _window(self, site: Site) -> Window:
        """Of the convolution that it transposes, whose input is this one's output."""
        weights, is_same = site.tensor(site.operands[1]).usual_shape, site.options.padding == schema.Padding.SAME
        return Window.of(site.height(site.op.outputs[0]), weights[1], site.options.strideH, is_same=is_same)

    def _there(self, site: Site, rows: Rows) -> Rows:
        window, n_rows = self._window(site), site.height(site.operands[2])
        first = -(-(rows.start + window.before - window.size + 1) // window.stride)
        last = (rows.stop - 1 + window.before) // window.stride
        # Those that give the wanted rows their place, too: a stride may be larger than the window.
        first = min(max(0, first), rows.start // window.stride, n_rows - 1)
        last = max(last, (rows.stop - 1) // window.stride)
        return Rows(first, max(first + 1, min(n_rows, last + 1)))


class Resize(RowRule):
    """RESIZE_NEAREST_NEIGHBOR and RESIZE_BILINEAR by a whole factor; rows of the whole and of a strip are rounded alike."""

    def __init__(self, margin: int) -> None:
        """Args: margin: rows on either side that are read, too."""
        self._margin = margin

    def obstacle(self, site: Site) -> str | None:
        """The rows of a strip would be taken from other places than the whole model's."""
        before, after = site.height(site.operands[0]), site.height(site.op.outputs[0])
        if site.options.alignCorners:
            return "it aligns corners, so that every row depends on the height"
        if after % before:
            return f"{before} rows become {after}, which is no whole factor"
        factor = after // before
        if self._margin and factor & (factor - 1):
            return f"its factor {factor} is no power of two, so that places are rounded otherwise in a strip"
        rounded = np.floor(np.arange(after, dtype=np.float32) * np.float32(before / after))
        if not np.array_equal(rounded, np.arange(after) // factor):
            return f"places are rounded otherwise in a strip by the factor {factor}"
        return None

    def reads(self, site: Site, rows: Rows) -> dict[int, Rows]:
        """Those that they lie in, and the margin."""
        return {site.operands[0]: self._there(site, rows)}

    def write(self, site: Site, rows: Rows, strip: StripWriter) -> None:
        """All that the rows give, then cropped."""
        there, factor = self._there(site, rows), self._factor(site)
        size = np.array([there.count * factor, site.result.usual_shape[_COLUMN_AXIS]], np.int32)
        operands = [strip.take(site.operands[0], there), strip.constant(size)]
        strip.give(site, operands, Rows(there.start * factor, there.stop * factor), rows)

    def _factor(self, site: Site) -> int:
        return site.height(site.op.outputs[0]) // site.height(site.operands[0])

    def _there(self, site: Site, rows: Rows) -> Rows:
        factor, margin = self._factor(site), self._margin
        reached = Rows(rows.start // factor - margin, (rows.stop - 1) // factor + 1 + margin)
        return reached.clipped(site.height(site.operands[0]))


class _Blocks(RowRule):
    """One row of the operand is so many rows of the result, or the other way round."""

    @abstractmethod
    def rows_given(self, site: Site) -> Fraction:
        """Rows of the result for each row of the operand."""

    def reads(self, site: Site, rows: Rows) -> dict[int, Rows]:
        """Those that the result's rows lie in."""
        return {site.operands[0]: self._there(site, rows)}

    def write(self, site: Site, rows: Rows, strip: StripWriter) -> None:
        """All that these give, then cropped."""
        there, given = self._there(site, rows), self.rows_given(site)
        made = Rows(int(there.start * given), int(there.stop * given))
        source = strip.take(site.operands[0], there)
        strip.give(site, [source, *self.constants(site, made, strip)], made, rows, self.options(site, made))

    def constants(self, site: Site, made: Rows, strip: StripWriter) -> list[int]:  # noqa: ARG002 - of those that have any
        """Further operands, for these rows."""
        return []

    def options(self, site: Site, made: Rows) -> Any:  # noqa: ARG002 - as above
        """Options for these rows, if they are others."""
        return None

    def _there(self, site: Site, rows: Rows) -> Rows:
        given = self.rows_given(site)
        return Rows(floor(rows.start / given), ceil(rows.stop / given))


class DepthToSpace(_Blocks):
    """Each row becomes a block of rows."""

    def rows_given(self, site: Site) -> Fraction:
        """The block."""
        return Fraction(site.options.blockSize)


class SpaceToDepth(_Blocks):
    """Each block of rows becomes one."""

    def rows_given(self, site: Site) -> Fraction:
        """Of a block, one."""
        return Fraction(1, site.options.blockSize)


class Reshape(_Blocks):
    """Samples stay, and a row of the one shape is a whole number of rows of the other: elements stay where they are."""

    def obstacle(self, site: Site) -> str | None:
        """Rows of the one shape end within rows of the other."""
        before, after = site.tensor(site.operands[0]).usual_shape, site.result.usual_shape
        if before[:1] != after[:1] or len(before) <= ROW_AXIS + 1:
            return f"{before} becomes {after}"
        given = self.rows_given(site)
        return None if 1 in (given.numerator, given.denominator) else f"{before} becomes {after}"

    def rows_given(self, site: Site) -> Fraction:
        """By the sizes of rows."""
        return Fraction(site.height(site.op.outputs[0]), site.height(site.operands[0]))

    def constants(self, site: Site, made: Rows, strip: StripWriter) -> list[int]:
        """The shape."""
        return [strip.constant(_shape(site, made))]

    def options(self, site: Site, made: Rows) -> Any:
        """Which may name the shape, too."""
        options = copy.copy(site.options)
        if options is not None:
            options.newShape = _shape(site, made)
        return options


def _shape(site: Site, made: Rows) -> Array:
    shape = np.array(site.result.usual_shape, np.int32)
    shape[ROW_AXIS] = made.count
    return shape

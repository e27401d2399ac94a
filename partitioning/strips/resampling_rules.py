"""Operators that give several rows for one, or one for several: transposed convolution, resizing, moves between axes."""

from __future__ import annotations

import copy
from abc import abstractmethod
from fractions import Fraction
from math import ceil, floor
from typing import Any

import numpy as np

from partitioning.graph import Array
from partitioning.strips.local_rules import hybrid_obstacle
from partitioning.strips.rule import SharingRule
from partitioning.strips.site import Site
from partitioning.strips.spans import ROW_AXIS, Span
from partitioning.strips.window_rules import Window
from partitioning.strips.writer import StripWriter
from partitioning.tflite_schema import schema

_COLUMN_AXIS = ROW_AXIS + 1


class TransposedConvolution(SharingRule):
    """TRANSPOSE_CONV with its own padding, cropped. Operands: shape, weights, input, bias.

    SAME cuts the same number of rows off for any height, so that a strip's rows lie where the whole's do.
    """

    def obstacle(self, site: Site) -> str | None:
        """Its shape is computed or unusual, or its scale is chosen from all rows."""
        if site.constant(0) is None:
            return "its shape is computed"
        given, stride = site.extent(site.operands[2]), site.options.strideH
        _, *window, _ = site.tensor(site.operands[1]).usual_shape
        if window[0] < stride or window[1] < site.options.strideW:
            # Measured: XNNPACK then adds up in an order that depends on how many rows there are.
            return "its stride is larger than its window, so that bits depend on the height"
        if site.options.padding == schema.Padding.SAME and site.extent(site.op.outputs[0]) != given * stride:
            return f"{given} rows become {site.extent(site.op.outputs[0])} by a stride of {stride}"
        return hybrid_obstacle(site, site.operands[2])

    def reads(self, site: Site, span: Span) -> dict[int, Span]:
        """Those whose windows reach these rows."""
        return {site.operands[2]: self._there(site, span)}

    def write(self, site: Site, span: Span, strip: StripWriter) -> None:
        """All that these rows give, then cropped."""
        there, stride = self._there(site, span), site.options.strideH
        first, stop = there.start * stride, there.stop * stride
        if site.options.padding == schema.Padding.VALID:
            # As many rows more or less than there are strides as the whole has, or the runtime takes another kernel.
            stop += site.extent(site.op.outputs[0]) - site.extent(site.operands[2]) * stride
        shape = np.array(site.result.usual_shape, np.int32)
        shape[ROW_AXIS] = stop - first
        operands = [strip.constant(shape), site.operands[1], strip.take(site.operands[2], there), *site.operands[3:]]
        strip.give(site, operands, Span(first, stop), span)

    def _window(self, site: Site) -> Window:
        """Of the convolution that it transposes, whose input is this one's output."""
        weights, is_same = site.tensor(site.operands[1]).usual_shape, site.options.padding == schema.Padding.SAME
        return Window.of(site.extent(site.op.outputs[0]), weights[1], site.options.strideH, is_same=is_same)

    def _there(self, site: Site, rows: Span) -> Span:
        window, n_rows = self._window(site), site.extent(site.operands[2])
        first = -(-(rows.start + window.before - window.size + 1) // window.stride)
        last = (rows.stop - 1 + window.before) // window.stride
        first = min(max(0, first), n_rows - 1)
        return Span(first, max(first + 1, min(n_rows, last + 1)))


class Resize(SharingRule):
    """RESIZE_NEAREST_NEIGHBOR and RESIZE_BILINEAR by a whole factor; rows of the whole and of a strip are rounded alike."""

    def __init__(self, margin: int) -> None:
        """Args: margin: rows on either side that are read, too."""
        self._margin = margin

    def obstacle(self, site: Site) -> str | None:
        """The rows of a strip would be taken from other places than the whole model's."""
        before, after = site.extent(site.operands[0]), site.extent(site.op.outputs[0])
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

    def reads(self, site: Site, span: Span) -> dict[int, Span]:
        """Those that they lie in, and the margin."""
        return {site.operands[0]: self._there(site, span)}

    def write(self, site: Site, span: Span, strip: StripWriter) -> None:
        """All that the rows give, then cropped."""
        there, factor = self._there(site, span), self._factor(site)
        size = np.array([there.count * factor, site.result.usual_shape[_COLUMN_AXIS]], np.int32)
        operands = [strip.take(site.operands[0], there), strip.constant(size)]
        strip.give(site, operands, Span(there.start * factor, there.stop * factor), span)

    def _factor(self, site: Site) -> int:
        return site.extent(site.op.outputs[0]) // site.extent(site.operands[0])

    def _there(self, site: Site, rows: Span) -> Span:
        factor, margin = self._factor(site), self._margin
        reached = Span(rows.start // factor - margin, (rows.stop - 1) // factor + 1 + margin)
        return reached.clipped(site.extent(site.operands[0]))


class _Blocks(SharingRule):
    """One row of the operand is so many rows of the result, or the other way round."""

    @abstractmethod
    def rows_given(self, site: Site) -> Fraction:
        """Rows of the result for each row of the operand."""

    def reads(self, site: Site, span: Span) -> dict[int, Span]:
        """Those that the result's rows lie in."""
        return {site.operands[0]: self._there(site, span)}

    def write(self, site: Site, span: Span, strip: StripWriter) -> None:
        """All that these give, then cropped."""
        there, given = self._there(site, span), self.rows_given(site)
        made = Span(int(there.start * given), int(there.stop * given))
        source = strip.take(site.operands[0], there)
        strip.give(site, [source, *self.constants(site, made, strip)], made, span, self.options(site, made))

    def constants(self, site: Site, made: Span, strip: StripWriter) -> list[int]:  # noqa: ARG002 - of those that have any
        """Further operands, for these rows."""
        return []

    def options(self, site: Site, made: Span) -> Any:  # noqa: ARG002 - as above
        """Options for these rows, if they are others."""
        return None

    def _there(self, site: Site, rows: Span) -> Span:
        given = self.rows_given(site)
        return Span(floor(rows.start / given), ceil(rows.stop / given))


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
        return Fraction(site.extent(site.op.outputs[0]), site.extent(site.operands[0]))

    def constants(self, site: Site, made: Span, strip: StripWriter) -> list[int]:
        """The shape."""
        return [strip.constant(_shape(site, made))]

    def options(self, site: Site, made: Span) -> Any:
        """Which may name the shape, too."""
        options = copy.copy(site.options)
        if options is not None:
            options.newShape = _shape(site, made)
        return options


def _shape(site: Site, made: Span) -> Array:
    shape = np.array(site.result.usual_shape, np.int32)
    shape[ROW_AXIS] = made.count
    return shape

"""Operators whose rows come from windows of rows: convolutions, poolings, padding."""

from __future__ import annotations

import copy
from abc import abstractmethod
from dataclasses import dataclass

import numpy as np

from partitioning.strips.local_rules import hybrid_obstacle
from partitioning.strips.rule import SharingRule
from partitioning.strips.site import Site
from partitioning.strips.spans import ROW_AXIS, Span
from partitioning.strips.writer import StripWriter
from partitioning.tflite_schema import schema

_COLUMN_AXIS = ROW_AXIS + 1
_NONE = (0, 0)


@dataclass(frozen=True)
class Window:
    """What one output element reads along one axis of so many elements: `size` of them, from its index * stride - before."""

    length: int
    size: int
    stride: int
    before: int

    @classmethod
    def of(cls, length: int, size: int, stride: int, *, is_same: bool) -> Window:
        """SAME puts the smaller half of its padding before the first element, as counted from the whole length."""
        n_out = -(-length // stride)
        padding = max(0, (n_out - 1) * stride + size - length) if is_same else 0
        return cls(length, size, stride, padding // 2)

    def reads(self, start: int, stop: int) -> tuple[int, int]:
        """Of outputs [start, stop), before it is clipped to what there is."""
        return start * self.stride - self.before, (stop - 1) * self.stride - self.before + self.size

    def padding(self, start: int, stop: int) -> tuple[int, int]:
        """How many elements before the first and after the last these outputs read."""
        first, last = self.reads(start, stop)
        return max(0, -first), max(0, last - self.length)

    def rows(self, rows: Span) -> Span:
        """Rows that there are of those that are read; at least one."""
        first, last = self.reads(rows.start, rows.stop)
        start = min(max(0, first), self.length - 1)
        return Span(start, max(start + 1, min(self.length, last)))


class _Windowed(SharingRule):
    def obstacle(self, site: Site) -> str | None:
        """It reads no image."""
        if len(site.tensor(site.operands[0]).usual_shape) != 4:
            return "its input is no image of four dimensions"
        return None

    def reads(self, site: Site, span: Span) -> dict[int, Span]:
        """The rows of all windows."""
        return {site.operands[0]: self.windows(site)[0].rows(span)}

    @abstractmethod
    def windows(self, site: Site) -> tuple[Window, Window]:
        """Along rows and columns."""


class Convolution(_Windowed):
    """CONV_2D and DEPTHWISE_CONV_2D: explicit PAD and no padding of their own, which costs nothing under XNNPACK."""

    def obstacle(self, site: Site) -> str | None:
        """Its weights or its input are not of a kind that is the same row by row."""
        return super().obstacle(site) or hybrid_obstacle(site)

    def windows(self, site: Site) -> tuple[Window, Window]:
        """From the weights' shape (outputs, rows, columns, inputs)."""
        options, weights = site.options, site.tensor(site.operands[1]).usual_shape
        shape, is_same = site.tensor(site.operands[0]).usual_shape, options.padding == schema.Padding.SAME
        sizes = (weights[1] - 1) * options.dilationHFactor + 1, (weights[2] - 1) * options.dilationWFactor + 1
        return (
            Window.of(shape[1], sizes[0], options.strideH, is_same=is_same),
            Window.of(shape[2], sizes[1], options.strideW, is_same=is_same),
        )

    def write(self, site: Site, span: Span, strip: StripWriter) -> None:
        """PAD where the whole model has padding, then the convolution without."""
        vertical, horizontal = self.windows(site)
        n_columns = site.result.usual_shape[_COLUMN_AXIS]
        source = strip.take(site.operands[0], vertical.rows(span))
        paddings = [
            _NONE,
            vertical.padding(span.start, span.stop),
            horizontal.padding(0, n_columns),
            _NONE,
        ]
        options = copy.copy(site.options)
        options.padding = schema.Padding.VALID
        strip.emit(site, [strip.pad(source, paddings), *site.operands[1:]], site.op.outputs, options)


class Pooling(_Windowed):
    """MAX, AVERAGE and L2 pooling. Their padding is no value: where there is any, they run on more rows and are cropped."""

    def windows(self, site: Site) -> tuple[Window, Window]:
        """From the options."""
        options, shape = site.options, site.tensor(site.operands[0]).usual_shape
        is_same = options.padding == schema.Padding.SAME
        return (
            Window.of(shape[1], options.filterHeight, options.strideH, is_same=is_same),
            Window.of(shape[2], options.filterWidth, options.strideW, is_same=is_same),
        )

    def reads(self, site: Site, span: Span) -> dict[int, Span]:
        """As many rows more as have padding begin where the whole model's does."""
        return {site.operands[0]: self._range(site, span)[0]}

    def write(self, site: Site, span: Span, strip: StripWriter) -> None:
        """On that range, then cropped."""
        there, skipped, is_padded = self._range(site, span)
        source = strip.take(site.operands[0], there)
        options = copy.copy(site.options)
        options.padding = schema.Padding.SAME if is_padded else schema.Padding.VALID
        n_made = -(-there.count // options.strideH) if is_padded else span.count
        first = span.start - skipped
        strip.give(site, [source], Span(first, first + n_made), span, options)

    def _range(self, site: Site, rows: Span) -> tuple[Span, int, bool]:
        """Input rows, how many output rows come before the wanted ones, and whether there is padding at all."""
        vertical, horizontal = self.windows(site)
        needed = vertical.rows(rows)
        outputs = site.result.usual_shape
        if not any(vertical.padding(0, outputs[ROW_AXIS]) + horizontal.padding(0, outputs[_COLUMN_AXIS])):
            return needed, 0, False
        found = [
            (stop - start, start, stop, skipped)
            for start in range(max(0, needed.start - 2 * vertical.size), needed.start + 1)
            for stop in range(needed.stop, min(vertical.length, needed.stop + vertical.size + vertical.stride) + 1)
            if (skipped := _skipped(vertical, start, stop, rows)) is not None
        ]
        found.append((vertical.length, 0, vertical.length, rows.start))  # the whole always will do
        _, start, stop, skipped = min(found)
        return Span(start, stop), skipped, True


def _skipped(whole: Window, start: int, stop: int, rows: Span) -> int | None:
    """Outputs before the wanted ones if SAME pools input rows [start, stop); None if its windows lie elsewhere then."""
    strip = Window.of(stop - start, whole.size, whole.stride, is_same=True)
    offset = start - strip.before + whole.before
    if offset % whole.stride:
        return None
    skipped = rows.start - offset // whole.stride
    n_made = -(-(stop - start) // whole.stride)
    return skipped if skipped >= 0 and skipped + rows.count <= n_made else None


class Pad(SharingRule):
    """PAD and PADV2 by constant amounts."""

    def obstacle(self, site: Site) -> str | None:
        """The amounts are computed."""
        return None if site.constant(1) is not None else "its paddings are computed"

    def reads(self, site: Site, span: Span) -> dict[int, Span]:
        """Those that are not padding; at least one."""
        return {site.operands[0]: self._there(site, span)}

    def write(self, site: Site, span: Span, strip: StripWriter) -> None:
        """With the padding that these rows have, then cropped if they are padding only."""
        paddings = np.array(site.constant(1))
        there, before = self._there(site, span), int(paddings[ROW_AXIS][0])
        made = Span(min(span.start, there.start + before), max(span.stop, there.stop + before))
        paddings[ROW_AXIS] = there.start + before - made.start, made.stop - there.stop - before
        operands = [strip.take(site.operands[0], there), strip.constant(paddings, site.operands[1]), *site.operands[2:]]
        strip.give(site, operands, made, span)

    def _there(self, site: Site, rows: Span) -> Span:
        paddings = site.constant(1)
        assert paddings is not None
        before, n_rows = int(paddings[ROW_AXIS][0]), site.extent(site.operands[0])
        start = min(max(0, rows.start - before), n_rows - 1)
        return Span(start, max(start + 1, min(n_rows, rows.stop - before)))

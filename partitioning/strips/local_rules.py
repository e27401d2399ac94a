"""Operators that give each row, or channel, from the same one of their operands."""

from __future__ import annotations

from typing import Any

import numpy as np

from partitioning.strips.rule import SharingRule
from partitioning.strips.site import Site
from partitioning.strips.spans import ROW_AXIS, SharedAxis, Span
from partitioning.strips.writer import StripWriter


class Local(SharingRule):
    """Element by element, or along other axes than the shared one. Operands may be broadcast."""

    def obstacle(self, site: Site) -> str | None:
        """A computed operand is broadcast so that its rows are not the result's."""
        rank, extent = len(site.result.usual_shape), site.extent(site.op.outputs[0])
        for operand in site.op.inputs:
            shape = site.tensor(operand).usual_shape
            is_aligned = site.axis is SharedAxis.CHANNELS or len(shape) == rank or all(n == 1 for n in shape[:-1])
            if site.extent(operand) not in (1, extent) or not is_aligned:
                return f"{site.tensor(operand).name} {shape} is broadcast over {site.result.usual_shape}"
        return self._constant_obstacle(site)

    def reads(self, site: Site, span: Span) -> dict[int, Span]:
        """The same span; all of what has only one."""
        return {t: self._of(site, t, span) for t in site.op.inputs}

    def write(self, site: Site, span: Span, strip: StripWriter) -> None:
        """The operator as it is, with this span of its constants."""
        operands = [self._operand(site, t, span, strip) for t in site.operands]
        strip.emit(site, operands, site.op.outputs)

    def _of(self, site: Site, operand: int, span: Span) -> Span:
        return site.whole(operand) if site.extent(operand) == 1 else span

    def _operand(self, site: Site, operand: int, span: Span, strip: StripWriter) -> int:
        if operand in site.computed:
            return strip.take(operand, self._of(site, operand, span))
        axis = self._axis(site, operand)
        return operand if axis is None else strip.constant_part(operand, axis, span)

    def _constant_obstacle(self, site: Site) -> str | None:
        """A constant of which boards need parts is not in the file as it is."""
        constants = [t for t in site.operands if t not in site.computed and self._axis(site, t) is not None]
        made = [site.tensor(t).name for t in constants if site.constant_of(t) is None]
        return f"the constant {made[0]} is made by another operator" if made else None

    def _axis(self, site: Site, operand: int) -> int | None:
        """The axis of a constant that is shared; None of one that is broadcast along it, or left out."""
        shared, rank = site.axis.of(len(site.result.usual_shape)), len(site.result.usual_shape)
        if operand < 0 or shared is None:
            return None
        shape = site.tensor(operand).usual_shape
        axis, extent = shared - rank + len(shape), site.extent(site.op.outputs[0])
        return axis if axis >= 0 and extent > 1 and shape[axis] == extent else None


class AlongOtherAxes(Local):
    """Works along axes that a constant operand or an option names; the rows must not be among them, nor the samples."""

    def __init__(self, position: int | None = None) -> None:
        """Args: position: of the operand that names axes; None: an option does."""
        self._position = position

    def obstacle(self, site: Site) -> str | None:
        """The axes are not known, or are the rows."""
        if self._position is None:
            axes: Any = site.options.axis
        else:
            axes = site.constant(self._position)
        ranks = [len(site.tensor(t).usual_shape) for t in site.op.inputs]
        if axes is None:
            return "the axes along which it works are computed"
        if any(int(axis) % rank <= ROW_AXIS for axis in np.atleast_1d(axes) for rank in ranks):
            return "it works along the rows"
        rows = {site.extent(t) for t in (*site.op.inputs, *site.op.outputs)}
        if len(rows) != 1:
            return "its operands have different rows"
        return self._constant_obstacle(site) if self._position is None else None

    def _operand(self, site: Site, operand: int, rows: Span, strip: StripWriter) -> int:
        if self._position is not None and operand not in site.computed:
            return operand
        return super()._operand(site, operand, rows, strip)


class Tile(Local):
    """Repetition along other axes than the rows."""

    def obstacle(self, site: Site) -> str | None:
        """How often is computed, or rows are repeated."""
        multiples = site.constant(1)
        if multiples is None:
            return "how often it repeats is computed"
        return None if all(n == 1 for n in multiples[: ROW_AXIS + 1]) else "it repeats rows"

    def _operand(self, site: Site, operand: int, rows: Span, strip: StripWriter) -> int:
        return super()._operand(site, operand, rows, strip) if operand in site.computed else operand


class Transpose(Tile):
    """A change of axes that leaves samples and rows where they are."""

    def obstacle(self, site: Site) -> str | None:
        """Rows become another axis."""
        order = site.constant(1)
        kept = [*range(ROW_AXIS + 1)]
        return None if order is not None and [*order[: ROW_AXIS + 1]] == kept else "rows become another axis"


class Dense(Local):
    """FULLY_CONNECTED on the last axis of a tensor with rows."""

    def obstacle(self, site: Site) -> str | None:
        """It takes whole samples, or chooses its scale from all of them."""
        shape = site.tensor(site.op.inputs[0]).usual_shape
        if not site.options.keepNumDims or len(shape) <= ROW_AXIS + 1 or len(site.op.inputs) > 1:
            return "it reads whole samples"
        return hybrid_obstacle(site)


def hybrid_obstacle(site: Site, source: int | None = None) -> str | None:
    """Integer weights on floating-point inputs: the runtime quantises an input by the largest value in all of its rows."""
    given, weights = site.tensor(site.operands[0] if source is None else source), site.tensor(site.operands[1])
    if given.type_name == "FLOAT32" and weights.type_name in ("INT8", "UINT8", "INT4"):
        return "it quantises its input by the largest value of all rows (dynamic-range quantisation)"
    return None

"""Operators that give each row from the same row of their operands."""

from __future__ import annotations

from typing import Any

import numpy as np

from partitioning.strips.rows import ROW_AXIS, Rows
from partitioning.strips.rule import RowRule
from partitioning.strips.site import Site
from partitioning.strips.writer import StripWriter

_WHOLE = Rows(0, 1)  # of what has one row, or no such axis


class Local(RowRule):
    """Element by element, or along other axes than the rows. Operands may be broadcast."""

    def obstacle(self, site: Site) -> str | None:
        """A computed operand is broadcast so that its rows are not the result's."""
        rank, rows = len(site.result.usual_shape), site.height(site.op.outputs[0])
        for operand in site.op.inputs:
            shape = site.tensor(operand).usual_shape
            if site.height(operand) not in (1, rows) or (len(shape) < rank and any(n != 1 for n in shape[:-1])):
                return f"{site.tensor(operand).name} {shape} is broadcast over the rows of {site.result.usual_shape}"
        return None

    def reads(self, site: Site, rows: Rows) -> dict[int, Rows]:
        """The same rows; all of what has only one."""
        return {t: _of(site, t, rows) for t in site.op.inputs}

    def write(self, site: Site, rows: Rows, strip: StripWriter) -> None:
        """The operator as it is, with constants for these rows."""
        operands = [self._operand(site, t, rows, strip) for t in site.operands]
        strip.emit(site, operands, site.op.outputs)

    def _operand(self, site: Site, operand: int, rows: Rows, strip: StripWriter) -> int:
        if operand in site.computed:
            return strip.take(operand, _of(site, operand, rows))
        values = None if operand < 0 else site.constant(site.operands.index(operand))
        axis = ROW_AXIS - len(site.result.usual_shape) + (0 if values is None else values.ndim)
        height = site.height(site.op.outputs[0])
        if values is None or axis < 0 or height == 1 or values.shape[axis] != height:
            return operand
        return strip.constant(values.take(range(rows.start, rows.stop), axis), like=operand)


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
        rows = {site.height(t) for t in (*site.op.inputs, *site.op.outputs)}
        return None if len(rows) == 1 else "its operands have different rows"

    def _operand(self, site: Site, operand: int, rows: Rows, strip: StripWriter) -> int:
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

    def _operand(self, site: Site, operand: int, rows: Rows, strip: StripWriter) -> int:
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


def _of(site: Site, operand: int, rows: Rows) -> Rows:
    return _WHOLE if site.height(operand) == 1 else rows

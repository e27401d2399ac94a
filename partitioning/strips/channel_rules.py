"""Operators that give each output channel from all of their input and that channel's weights."""

from __future__ import annotations

from partitioning.strips.rule import SharingRule
from partitioning.strips.site import Site
from partitioning.strips.spans import Span
from partitioning.strips.writer import StripWriter


class ByOutputChannel(SharingRule):
    """FULLY_CONNECTED and CONV_2D: weights, bias and scales of these channels only. Operands: input, weights, bias.

    Splitting by input channel instead would add partial sums in another order, to other bits.
    """

    def obstacle(self, site: Site) -> str | None:
        """Its weights come from elsewhere than the file."""
        return None if site.constant(1) is not None else "its weights are no constant of the file"

    def reads(self, site: Site, span: Span) -> dict[int, Span]:  # noqa: ARG002 - whatever channels
        """All."""
        return {t: site.whole(t) for t in site.op.inputs}

    def write(self, site: Site, span: Span, strip: StripWriter) -> None:
        """The operator with fewer weights."""
        source, *parameters = site.operands
        parts = [t if t < 0 else strip.constant_part(t, 0, span) for t in parameters]
        strip.emit(site, [strip.take(source, site.whole(source)), *parts], site.op.outputs)

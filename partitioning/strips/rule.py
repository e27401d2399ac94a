"""What a rule is: what an operator reads for a span of what it gives, and how it is written for that alone."""

from __future__ import annotations

from abc import ABC, abstractmethod

from partitioning.strips.site import Site
from partitioning.strips.spans import Span
from partitioning.strips.writer import StripWriter


class SharingRule(ABC):
    """Of one kind of operator, along one axis. All outputs of one operator have the same span."""

    def obstacle(self, site: Site) -> str | None:  # noqa: ARG002 - of those that have one
        """Why spans of this operator's result cannot be computed apart, to the same bits; None if they can."""
        return None

    @abstractmethod
    def reads(self, site: Site, span: Span) -> dict[int, Span]:
        """By computed operand, the span that this one of the outputs needs; one at least."""

    @abstractmethod
    def write(self, site: Site, span: Span, strip: StripWriter) -> None:
        """Adds operators that compute exactly this span of the outputs; the strip has at least what they need for it."""

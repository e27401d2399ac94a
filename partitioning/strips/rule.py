"""What a row rule is: which rows an operator reads for the rows it gives, and how it is written for those alone."""

from __future__ import annotations

from abc import ABC, abstractmethod

from partitioning.strips.rows import Rows
from partitioning.strips.site import Site
from partitioning.strips.writer import StripWriter


class RowRule(ABC):
    """Of one kind of operator. All outputs of one operator have the same rows."""

    def obstacle(self, site: Site) -> str | None:  # noqa: ARG002 - of those that have one
        """Why this operator's rows cannot be computed apart from one another, to the same bits; None if they can."""
        return None

    @abstractmethod
    def reads(self, site: Site, rows: Rows) -> dict[int, Rows]:
        """By computed operand, the rows that these rows of the outputs need; at least one."""

    @abstractmethod
    def write(self, site: Site, rows: Rows, strip: StripWriter) -> None:
        """Adds operators that compute exactly these rows of the outputs; the strip has at least the rows that they need."""

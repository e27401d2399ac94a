"""Errors of measuring and planning on boards."""

from __future__ import annotations


class PlannerError(Exception):
    """Base of everything this package raises on purpose."""


class ProbeError(PlannerError):
    """A link could not be measured."""


class WishError(PlannerError):
    """What was asked of a plan makes no sense for this model and these boards."""


class PlotError(PlannerError):
    """A picture cannot be written."""


class SourceError(PlannerError):
    """What was given as the model is none that can be planned for."""

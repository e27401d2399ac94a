"""Errors of the partitioning core; every message says what was wrong, what was expected and the next step."""

from __future__ import annotations


class PartitioningError(Exception):
    """Base of everything this package raises on purpose."""


class ModelFormatError(PartitioningError):
    """The bytes are not a TFLite model that can be cut."""


class CutError(PartitioningError):
    """A cut is unknown, repeated, out of order, or lies where the graph cannot be cut."""


class TapError(PartitioningError):
    """A tap names no tensor that the model computes and that can travel."""


class InfeasibleSplitError(PartitioningError):
    """No split meets the request, whatever the cuts."""

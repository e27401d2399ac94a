"""What can go wrong with emulated boards, by whose fault it is."""

from __future__ import annotations


class EmulationError(Exception):
    """Base of everything that this package raises on purpose."""


class SpecError(EmulationError):
    """The caller describes boards that cannot be."""


class CannotEmulateError(EmulationError):
    """This machine, or this user on it, cannot hold emulated boards."""


class BoardStartError(EmulationError):
    """A node service did not come to serve."""


class ClusterStateError(EmulationError):
    """The boards that a command is about are not in the state that it needs."""


class CallError(EmulationError):
    """A function called inside a namespace gave no answer."""

"""What can go wrong with virtual boards, by whose fault it is."""

from __future__ import annotations


class VirtualBoardError(Exception):
    """Base of everything that this package raises on purpose."""


class FleetSpecError(VirtualBoardError):
    """The caller describes a fleet that cannot be, or asks a board for what it cannot do now."""


class MissingToolsError(VirtualBoardError):
    """Programs that make or boot images are not installed here."""


class ToolError(VirtualBoardError):
    """A program that makes images or networks failed, or did not end in time."""


class BoardBootError(VirtualBoardError):
    """A board did not come to answer over SSH; its console says why."""


class BoardCommandError(VirtualBoardError):
    """A command on a board failed, or did not end in time."""

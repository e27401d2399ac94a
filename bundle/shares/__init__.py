"""What each board of a group does with a frame: as the manifest says it, and as a board follows it."""

from bundle.shares.pieces import Pieces, Place, ShareError
from bundle.shares.program import Exchange, ShareProgram, ShareWork

__all__ = ["Exchange", "Pieces", "Place", "ShareError", "ShareProgram", "ShareWork"]

"""Memory for the messages of one stream, aligned, and used again once nobody looks at a message any more."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from transport.frame import ALIGNMENT_BYTES

# As many as may be in work at a time: fresh memory costs a page fault for each 4 KB, which is as much as a copy.
_MOST_KEPT = 4
# One is not kept from a small message for a large one that may never come again.
_MOST_WASTE = 2


def _references(buffers: list[np.ndarray[Any, np.dtype[np.uint8]]]) -> int:
    """To the first of the buffers: the list's, the loop's, and what an interpreter counts for this very call."""
    for buffer in buffers:
        return sys.getrefcount(buffer)
    raise AssertionError("there is one")


def _references_unused() -> int:
    """The references to a buffer that nobody looks at; -1 where the interpreter's counts do not tell."""
    buffers = [np.empty(1, np.uint8)]
    unused = _references(buffers)
    held = buffers[0][:1].data
    return unused if _references(buffers) > unused and held is not None else -1


_UNUSED = _references_unused()


class MessageBuffers:
    """Gives memory for one message after the other. One thread at a time.

    A message is in use for as long as anything refers to its memory, be it the message, a part of it or an array made of a
    part: CPython counts references, and all of these hold one to the array that owns the memory. (numpy makes arrays of
    memoryviews refer to that one, past the slice that the view is of.)
    """

    def __init__(self) -> None:
        self._buffers: list[np.ndarray[Any, np.dtype[np.uint8]]] = []

    def take(self, n_bytes: int) -> memoryview:
        """Memory that nobody else uses, not cleared, which starts at a multiple of ALIGNMENT_BYTES."""
        for buffer in self._buffers:
            room_bytes = buffer.size - ALIGNMENT_BYTES
            if n_bytes <= room_bytes <= _MOST_WASTE * n_bytes and sys.getrefcount(buffer) == _UNUSED:
                return _aligned(buffer, n_bytes)
        buffer = np.empty(n_bytes + ALIGNMENT_BYTES, np.uint8)
        if len(self._buffers) == _MOST_KEPT:
            del self._buffers[0]  # it lives on for those who use it
        self._buffers.append(buffer)
        return _aligned(buffer, n_bytes)


def _aligned(buffer: np.ndarray[Any, np.dtype[np.uint8]], n_bytes: int) -> memoryview:
    start = -buffer.ctypes.data % ALIGNMENT_BYTES
    return buffer[start : start + n_bytes].data

"""What a fuzzing process works on, in a file that both sides map: it outlives a crash, and shows whether inputs go on."""

from __future__ import annotations

import mmap
import struct
from pathlib import Path

_HEADER = struct.Struct("=QQ")  # inputs begun, bytes of the last one
MOST_INPUT_BYTES = 2**20


class Flight:
    """The record of one process."""

    def __init__(self, path: Path) -> None:
        """Opens the file, or makes it."""
        with path.open("a+b") as file:
            file.truncate(_HEADER.size + MOST_INPUT_BYTES)
            self._memory = mmap.mmap(file.fileno(), _HEADER.size + MOST_INPUT_BYTES)

    def begin(self, data: bytes) -> None:
        """Notes the input that comes next."""
        assert len(data) <= MOST_INPUT_BYTES
        self._memory[_HEADER.size : _HEADER.size + len(data)] = data
        _HEADER.pack_into(self._memory, 0, self.inputs + 1, len(data))

    @property
    def inputs(self) -> int:
        """Inputs so far."""
        return int(_HEADER.unpack_from(self._memory)[0])

    @property
    def last(self) -> bytes:
        """The last input that was begun."""
        n_bytes = _HEADER.unpack_from(self._memory)[1]
        return self._memory[_HEADER.size : _HEADER.size + n_bytes]

    def close(self) -> None:
        """Unmaps the file."""
        self._memory.close()

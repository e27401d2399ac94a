"""Tells the parent process, line by line, what the worker is doing or why it stops."""

from __future__ import annotations

import json
import os
from typing import Any

from converter.errors import ConverterError


class Reporter:
    """Writes JSON lines to a pipe that carries nothing else."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def progress(self, text: str, fraction: float | None = None) -> None:
        """Says what happens now; `fraction` in [0, 1] where the end is known."""
        self._write({"progress": text, "fraction": fraction})

    def error(self, error: ConverterError) -> None:
        """Hands the error over to be raised in the parent."""
        self._write({"error": type(error).__name__, "message": str(error)})

    def _write(self, message: dict[str, Any]) -> None:
        # A line is far below PIPE_BUF except for long error lists, and there is one writer only.
        data = json.dumps(message).encode() + b"\n"
        while data:
            data = data[os.write(self._fd, data) :]

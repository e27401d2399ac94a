"""Runs the system's commands and translates their failure."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence

from benchmarks.boards.errors import CannotEmulateError

# Each takes milliseconds; a minute means that the machine is stuck.
_TIMEOUT_S = 60.0


def batch(command: Sequence[str], lines: Sequence[str]) -> None:
    """Feeds lines to `ip` or `tc`, which stop at the first that fails.

    Raises: CannotEmulateError: with what the command said.
    """
    done = _run([*command, "-batch", "-"], "\n".join(lines) + "\n")
    if done.returncode != 0:
        raise CannotEmulateError(
            f"this machine refused to set up the boards' network: {' '.join(command)} said: {_one_line(done.stderr)}"
        )


def complaint(command: Sequence[str]) -> str | None:
    """What a command that fails says; None from one that succeeds."""
    done = _run(command, "")
    return None if done.returncode == 0 else _one_line(done.stderr)


def _run(command: Sequence[str], text: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, input=text, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False)


def _one_line(text: str) -> str:
    return "; ".join(line.strip() for line in text.splitlines() if line.strip()) or "nothing"

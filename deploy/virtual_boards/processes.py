"""Runs the system's programs, each with a time-out, and translates their failure."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from deploy.virtual_boards.errors import ToolError

_SHOWN_LINES = 15


def run(argv: Sequence[str], *, timeout_s: float) -> str:
    """What a program writes to stdout. Raises: ToolError: with what it wrote to stderr."""
    try:
        done = subprocess.run(  # noqa: S603
            argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout_s, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ToolError(f"{argv[0]}: {error}") from error
    if done.returncode != 0:
        raise ToolError(f"{' '.join(argv)} ended with {done.returncode}: {done.stderr.strip() or 'no word'}")
    return done.stdout


def run_logged(
    argv: Sequence[str], log: Path, *, timeout_s: float, environment: Mapping[str, str] | None = None
) -> None:
    """Runs a program that says much; all of it is added to a file. Raises: ToolError: with the end of it."""
    try:
        with log.open("ab") as output:
            done = subprocess.run(  # noqa: S603
                argv,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=environment,
                timeout=timeout_s,
                check=False,
            )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ToolError(f"{argv[0]}: {error}\n{last_lines(log)}") from error
    if done.returncode != 0:
        raise ToolError(f"{argv[0]} ended with {done.returncode} ({log}):\n{last_lines(log)}")


def last_lines(log: Path) -> str:
    """The end of a log, indented, without what would move a terminal's cursor."""
    if not log.exists():
        return "  (nothing was written)"
    text = log.read_bytes().decode(errors="replace").replace("\r", "\n")
    lines = ["".join(c for c in line if c.isprintable()) for line in text.splitlines()]
    shown = [f"  {line}" for line in lines if line.strip()][-_SHOWN_LINES:]
    return "\n".join(shown) or "  (nothing was written)"

"""Processes that stand still, for tests of boards that answer nothing."""

from __future__ import annotations

import signal
import subprocess
import threading
import time
from pathlib import Path

_WITHIN_S = 20.0
# For node services and dispatchers in tests of what happens while a board stands still, and not of how that is noticed.
PATIENCE_S = 60.0
PATIENT = ("--threads", "1", "--peer-silence-s", str(PATIENCE_S))


def freeze(process: subprocess.Popen[str]) -> None:
    """Sends SIGSTOP; returns once no thread of the process runs any more, which on a busy machine takes a while.

    One thread must take the signal before it stops the others: until then the process may answer.
    """
    process.send_signal(signal.SIGSTOP)
    deadline_s = time.monotonic() + _WITHIN_S
    pause = threading.Event()
    while not is_frozen(process):
        assert time.monotonic() < deadline_s, f"process {process.pid} still runs {_WITHIN_S:g} s after SIGSTOP"
        pause.wait(0.001)


def is_frozen(process: subprocess.Popen[str]) -> bool:
    """Whether every thread of a process that lives is stopped."""
    return all(_state(thread) == "T" for thread in Path(f"/proc/{process.pid}/task").iterdir())


def _state(thread: Path) -> str:
    try:
        stat = (thread / "stat").read_text()
    except (FileNotFoundError, ProcessLookupError):  # it ended after it was listed; the next look tells
        return "gone"
    return stat.rpartition(")")[2].split()[0]

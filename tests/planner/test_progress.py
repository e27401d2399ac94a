"""Progress of planning: bars for people, nothing on a pipe."""

from __future__ import annotations

import os
import pty
import subprocess
import sys

import pytest

from planner.progress import shown_progress

SCRIPT = """
from planner.progress import shown_progress
with shown_progress() as listeners:
    listeners.on_step("asking the boards")
    for done in range(4):
        listeners.on_profile("pi1", done, 3)
        listeners.on_profile("pi2", done, 6)
    listeners.on_profile("pi1", 0, 9)
    listeners.on_link(1, 2)
"""


def test_steps_boards_and_links_are_drawn_for_people() -> None:
    ours, theirs = pty.openpty()
    env = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "120"}
    process = subprocess.Popen([sys.executable, "-c", SCRIPT], stdout=theirs, stderr=theirs, env=env)
    os.close(theirs)
    drawn = b""
    try:
        while chunk := os.read(ours, 4096):
            drawn += chunk
    except OSError:  # how Linux says that the other end is closed
        pass
    os.close(ours)
    assert process.wait(60) == 0
    for words in ("asking the boards", "profiling on pi1", "profiling on pi2", "measuring links", "50%"):
        assert words in drawn.decode(), words


def test_nothing_is_drawn_on_a_pipe(capfd: pytest.CaptureFixture[str]) -> None:
    with shown_progress() as listeners:
        listeners.on_step("profiling")
        listeners.on_profile("pi1", 1, 2)
        listeners.on_link(1, 2)
    assert capfd.readouterr() == ("", "")

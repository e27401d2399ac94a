"""Results on stdout, whatever names look like; progress on stderr, and only for people."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys

import pytest

from terminal import print_json, print_table, progress

SHOW_TABLE = "from terminal import print_table; print_table('title', ('name', 'n'), [('row', 1)])"
SHOW_PROGRESS = """
from terminal import print_json, progress
with progress() as display:
    task = display.add_task("working", total=2)
    display.advance(task)
print_json({"done": True})
"""


def environment(**extra: str) -> dict[str, str]:
    """This process's, without what would decide on colours."""
    decisive = ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE", "COLORTERM", "COLUMNS", "TERM")
    return {**{k: v for k, v in os.environ.items() if k not in decisive}, **extra}


def run_on_pipe(script: str, **extra: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", script]
    return subprocess.run(command, capture_output=True, text=True, env=environment(**extra), timeout=60, check=True)


def run_on_terminal(script: str, **extra: str) -> str:
    """What a script writes to stdout and stderr when both are a terminal."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", script], stdout=theirs, stderr=theirs, env=environment(TERM="xterm-256color", **extra)
    )
    os.close(theirs)
    written = b""
    try:
        while chunk := os.read(ours, 4096):
            written += chunk
    except OSError:  # how Linux says that the other end is closed
        pass
    os.close(ours)
    assert process.wait(60) == 0
    return written.decode()


def test_json_comes_back_when_parsed(capsys: pytest.CaptureFixture[str]) -> None:
    value = {"name": "[bold]conv[/bold] :key: é", "shape": [1, -1], "none": None}
    print_json(value)
    captured = capsys.readouterr()
    assert json.loads(captured.out) == value
    assert captured.err == ""


def test_table_shows_title_columns_and_cells(capsys: pytest.CaptureFixture[str]) -> None:
    print_table("a title that is longer than the table", ("name", "bytes"), [("conv", 1), ("pool", 12345)])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "a title that is longer than the table"
    assert any("conv" in line and line.rstrip("│ ").endswith(" 1") for line in lines)
    assert any("pool" in line and "12345" in line for line in lines)


def test_table_shows_names_as_they_are_when_they_look_like_markup(capsys: pytest.CaptureFixture[str]) -> None:
    names = ("[bold]x[/bold]", "[/]", "a[b]", ":key:", r"back\[slash]")
    print_table("[red]title[/red]", ("name",), [(name,) for name in names])
    out = capsys.readouterr().out
    assert "[red]title[/red]" in out
    for name in names:
        assert name in out


def test_table_keeps_long_names_whole_on_a_pipe(capsys: pytest.CaptureFixture[str]) -> None:
    name = "functional_1/" + "block/" * 15 + "Relu"
    print_table("t", ("name", "n"), [(name, 1)])
    assert name in capsys.readouterr().out


def test_output_has_no_colour_codes_on_a_pipe() -> None:
    for script in (SHOW_TABLE, SHOW_PROGRESS):
        assert "\x1b" not in run_on_pipe(script).stdout


def test_table_is_coloured_on_a_terminal_unless_no_color_is_set() -> None:
    coloured = run_on_terminal(SHOW_TABLE)
    assert "\x1b[1" in coloured
    plain = run_on_terminal(SHOW_TABLE.replace("'title'", "'other'"), NO_COLOR="1")
    assert "other" in plain
    assert not any(f"\x1b[{code}m" in plain for code in (*range(30, 38), *range(90, 98), "1;31"))


def test_nothing_is_drawn_when_progress_goes_to_a_pipe() -> None:
    done = run_on_pipe(SHOW_PROGRESS)
    assert done.stderr == ""
    assert json.loads(done.stdout) == {"done": True}


def test_progress_is_drawn_and_removed_on_a_terminal() -> None:
    written = run_on_terminal(SHOW_PROGRESS)
    assert "working" in written
    assert "\x1b[2K" in written[written.rindex("working") :]


def test_progress_takes_a_task_of_unknown_length() -> None:
    with progress() as display:
        display.add_task("starting", total=None)

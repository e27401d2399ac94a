"""What peers send stays within its line of the log."""

from __future__ import annotations

import logging
import sys

from node_service.log_lines import LOG_FORMAT, LineFormatter, printable

FORGED = "harmless\n2026-01-01 00:00:00,000 INFO node_service: all is well\r\x1b[2J\u202e\u2028\x9b\x00 \ud800 ü"


def record(text: str, *arguments: object, fails: bool = False) -> str:
    try:
        raise ValueError(FORGED)
    except ValueError:
        info = sys.exc_info() if fails else None
    made = logging.LogRecord("node_service.x", logging.WARNING, "x.py", 1, text, arguments, info)
    return LineFormatter(LOG_FORMAT).format(made)


def test_line_ends_and_control_characters_are_escaped() -> None:
    line = record("a stream ended: %s", FORGED)
    assert line.isprintable()
    assert r"harmless\n2026" in line
    assert line.endswith("ü")


def test_traceback_is_indented_and_its_message_escaped() -> None:
    first, *rest = record("a defect", fails=True).split("\n")
    assert first.endswith("WARNING node_service.x: a defect")
    assert len(rest) >= 4
    assert all(line.startswith("    ") and line.isprintable() for line in rest)


def test_endless_text_is_cut() -> None:
    assert len(printable("x" * 10**6)) < 5000

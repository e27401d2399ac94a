"""What peers send stays within its line of the log."""

from __future__ import annotations

import json
import logging
import sys
from datetime import datetime, timedelta, timezone

import pytest

from monitoring.log_lines import LOG_FORMAT, JournalFormatter, JsonFormatter, LineFormatter, printable

FORGED = "harmless\n2026-01-01 00:00:00,000 INFO node_service: all is well\r\x1b[2J\u202e\u2028\x9b\x00 \ud800 ü"

_LINES = LineFormatter(LOG_FORMAT)


def record(
    text: str,
    *arguments: object,
    fails: bool = False,
    formatter: logging.Formatter = _LINES,
    level: int = logging.WARNING,
    **fields: object,
) -> str:
    try:
        raise ValueError(FORGED)
    except ValueError:
        info = sys.exc_info() if fails else None
    made = logging.LogRecord("node_service.x", level, "x.py", 1, text, arguments, info)
    for name, value in fields.items():
        setattr(made, name, value)
    return formatter.format(made)


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


def test_json_has_all_that_a_record_says() -> None:
    line = record("%s", FORGED, fails=True, formatter=JsonFormatter({"board": "pi1"}), deployment="model-1", stage=2)
    assert line.isprintable()
    assert line.isascii()
    found = json.loads(line)
    assert (found["level"], found["logger"], found["board"]) == ("warning", "node_service.x", "pi1")
    assert (found["deployment"], found["stage"]) == ("model-1", 2)
    assert found["message"] == FORGED
    assert found["traceback"].endswith(f"ValueError: {FORGED}")
    age = datetime.now(timezone.utc) - datetime.fromisoformat(found["time"].replace("Z", "+00:00"))
    assert timedelta(0) <= age < timedelta(minutes=1)


@pytest.mark.parametrize(
    ("level", "priority"),
    [
        (logging.DEBUG, 7),
        (logging.INFO, 6),
        (logging.WARNING, 4),
        (logging.ERROR, 3),
        (logging.CRITICAL, 2),
    ],
)
def test_journal_reads_the_level_of_every_line(level: int, priority: int) -> None:
    first, *rest = record("a defect", fails=True, formatter=JournalFormatter(), level=level).split("\n")
    assert first == f"<{priority}>node_service.x: a defect"
    assert rest
    assert all(line.startswith(f"<{priority}>    ") for line in rest)

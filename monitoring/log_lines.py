"""Log records as lines, for people, for a journal, or as JSON: the one place where log texts are made safe to read.

What peers send may be logged, and stays within its line.
"""

from __future__ import annotations

import enum
import json
import logging
import os
import time
from collections.abc import Mapping

LOG_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"
# The journal has its own time; `<3>` is how sd-daemon(3) tells it a level.
_JOURNAL_FORMAT = "%(name)s: %(message)s"
_PRIORITIES = ((logging.CRITICAL, 2), (logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6))
_DEBUG_PRIORITY = 7
_MOST_CHARACTERS = 4000
# What a record may say beside its text: `_log.warning(..., extra={"deployment": ...})`.
FIELDS = ("board", "deployment", "stage", "chain", "request")


class LogForm(str, enum.Enum):
    """How records are written."""

    TEXT = "text"
    JSON = "json"


class LineFormatter(logging.Formatter):
    """One record, one line; lines of a traceback are indented, so that none of them looks like a record."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        """The record's line."""
        return printable(super().formatMessage(record))

    def formatException(self, ei: object) -> str:
        """The traceback; its last line may hold what a peer sent, too."""
        lines = super().formatException(ei).split("\n")  # type: ignore[arg-type]
        return "\n".join(f"    {printable(line)}" for line in lines)


class JournalFormatter(LineFormatter):
    """As LineFormatter, with the level in front of every line, as a journal reads it from what a service prints."""

    def __init__(self) -> None:
        super().__init__(_JOURNAL_FORMAT)

    def format(self, record: logging.LogRecord) -> str:
        """The record's lines."""
        priority = next((p for level, p in _PRIORITIES if record.levelno >= level), _DEBUG_PRIORITY)
        return "\n".join(f"<{priority}>{line}" for line in super().format(record).split("\n"))


class JsonFormatter(logging.Formatter):
    """One record, one line with one JSON object: time, level, logger, message, the fields, and a traceback if there is one."""

    def __init__(self, always: Mapping[str, str]) -> None:
        """Args: always: fields of every record."""
        super().__init__()
        self._always = dict(always)

    def format(self, record: logging.LogRecord) -> str:
        """The record's line."""
        seconds = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        values: dict[str, object] = {
            "time": f"{seconds}.{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": _cut(record.getMessage()),
            **self._always,
        }
        values.update((field, getattr(record, field)) for field in FIELDS if hasattr(record, field))
        if record.exc_info:
            values["traceback"] = self.formatException(record.exc_info)
        return json.dumps(values, default=str)  # in ASCII: everything that is not to be seen is escaped


def printable(text: str) -> str:
    """The text, not endless, with everything escaped that is not to be seen: control characters, line ends, turns of direction."""
    text = _cut(text)
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def log_to_stderr(level: str, form: LogForm = LogForm.TEXT, always: Mapping[str, str] | None = None) -> None:
    """Sets the process' logging up. Args: always: fields of every record, where the form has fields."""
    handler = logging.StreamHandler()
    handler.setFormatter(_formatter(form, always or {}))
    logging.basicConfig(level=level, handlers=[handler])


def _formatter(form: LogForm, always: Mapping[str, str]) -> logging.Formatter:
    if form is LogForm.JSON:
        return JsonFormatter(always)
    return JournalFormatter() if _is_journal() else LineFormatter(LOG_FORMAT)


def _is_journal() -> bool:
    """Whether standard error is a journal's: systemd names it by device and inode."""
    try:
        found = os.fstat(2)
    except OSError:
        return False
    return os.environ.get("JOURNAL_STREAM") == f"{found.st_dev}:{found.st_ino}"


def _cut(text: str) -> str:
    return f"{text[:_MOST_CHARACTERS]} ..." if len(text) > _MOST_CHARACTERS else text

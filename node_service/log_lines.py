"""What peers send may be logged, and stays within its line: the one place where log texts are made safe to read."""

from __future__ import annotations

import logging

LOG_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"
_MOST_CHARACTERS = 4000


class LineFormatter(logging.Formatter):
    """One record, one line; lines of a traceback are indented, so that none of them looks like a record."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        """The record's line."""
        return printable(super().formatMessage(record))

    def formatException(self, ei: object) -> str:
        """The traceback; its last line may hold what a peer sent, too."""
        lines = super().formatException(ei).split("\n")  # type: ignore[arg-type]
        return "\n".join(f"    {printable(line)}" for line in lines)


def printable(text: str) -> str:
    """The text, not endless, with everything escaped that is not to be seen: control characters, line ends, turns of direction."""
    if len(text) > _MOST_CHARACTERS:
        text = f"{text[:_MOST_CHARACTERS]} ..."
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def log_to_stderr(level: str) -> None:
    """Sets the process' logging up."""
    handler = logging.StreamHandler()
    handler.setFormatter(LineFormatter(LOG_FORMAT))
    logging.basicConfig(level=level, handlers=[handler])

"""A journal's rows whose checksums are right: answers of another version, or of who wrote into the file."""

from __future__ import annotations

import sqlite3
import zlib
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing, nullcontext
from pathlib import Path

import numpy as np

from dispatcher_client.errors import JournalError
from dispatcher_client.journal import Journal
from dispatcher_client.journal_records import to_record
from tests.fuzz.target import Run, Target

_BETWEEN = b"\n"  # layout and data


def _seeds() -> Iterator[bytes]:
    for answer in (
        np.arange(3, dtype=np.int8),
        {"a": np.zeros((1, 2), np.float32), "b": np.ones(2, np.bool_)},
        np.zeros((0, 3), np.int64),
    ):
        record = to_record(answer)
        yield record.layout.encode() + _BETWEEN + record.data


def _start(scratch: Path) -> AbstractContextManager[Run]:
    path = scratch / "journal"
    Journal(path).close()
    row = "INSERT OR REPLACE INTO answers VALUES (0, 0, ?, ?, ?)"

    def read(data: bytes) -> None:
        layout, _, body = data.partition(_BETWEEN)
        text = layout.decode(errors="replace")
        with closing(sqlite3.connect(path, isolation_level=None)) as file:
            file.execute(row, (text, body, zlib.crc32(body, zlib.crc32(text.encode()))))
        with Journal(path) as journal:
            assert len(list(journal)) == 1

    return nullcontext(read)


_WORDS = (b'"<f4"', b'"|O"', b'"V8"', b'"<U9"', b'"<M8[s]"', b"[[", b"null", b"1e9", b"-1", b"9999999999", b"NaN")
TARGET = Target("journal_row", _start, (JournalError,), _seeds, _WORDS)

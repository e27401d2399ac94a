"""A journal's files after a disk or a power cut has done something to them: the database, and the log beside it."""

from __future__ import annotations

import sqlite3
import struct
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing, nullcontext
from pathlib import Path

import numpy as np

from dispatcher_client.errors import JournalError
from dispatcher_client.journal import Journal, JournalModel
from tests.fuzz.target import Run, Target

_LOG_BYTES = struct.Struct("<I")  # of the log, which comes last
_MODEL = JournalModel("m", "0" * 64)
# Pages are put as they are into the file, the smallest that SQLite has: a mutation should meet something.
_PAGE_BYTES = 512


def _seeds() -> Iterator[bytes]:
    with tempfile.TemporaryDirectory() as scratch:
        path, log = Path(scratch, "journal"), Path(scratch, "journal-wal")
        with closing(sqlite3.connect(path)) as made:
            made.execute(f"PRAGMA page_size = {_PAGE_BYTES}")
            made.execute("VACUUM")
        with Journal(path) as journal, journal.streaming(_MODEL):
            journal.record(np.arange(3, dtype=np.int8), 7)
            journal.record({"a": np.zeros((1, 2), np.float32), "b": np.ones(2, np.bool_)}, 8)
            yield _input(path.read_bytes(), log.read_bytes())
        yield _input(path.read_bytes(), b"")


def _input(database: bytes, log: bytes) -> bytes:
    return database + log + _LOG_BYTES.pack(len(log))


def _start(scratch: Path) -> AbstractContextManager[Run]:
    path = scratch / "journal"
    log, shared = scratch / "journal-wal", scratch / "journal-shm"

    def read(data: bytes) -> None:
        if len(data) < _LOG_BYTES.size:
            return
        (n_log,) = _LOG_BYTES.unpack(data[-_LOG_BYTES.size :])
        data = data[: -_LOG_BYTES.size]
        n_log = min(n_log, len(data))
        path.write_bytes(data[: len(data) - n_log])
        log.write_bytes(data[len(data) - n_log :])
        shared.unlink(missing_ok=True)
        with Journal(path) as journal, journal.streaming(_MODEL):
            assert len(list(journal.input_checksums())) <= len(journal)
            journal.record(np.zeros(1), 9)
            for _ in journal:
                pass

    return nullcontext(read)


_WORDS = (b"answers", b"models", b"CREATE TABLE ", b"CREATE VIEW ", b"NOT NULL", b"SQLite format 3\0")
TARGET = Target("journal", _start, (JournalError,), _seeds, _WORDS, max_bytes=2**14)

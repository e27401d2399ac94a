"""A file with the answers that an application was given, so that a killed one goes on where it stopped."""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from dispatcher_client.errors import JournalError, OptionError
from dispatcher_client.journal_records import AnswerRecord, to_answer, to_record
from dispatcher_client.values import Answer
from protos.v1.manifest_pb2 import Manifest

FORMAT_VERSION = 1
_APPLICATION_ID = 0x626C4A31  # "blJ1", in the header of the file
_TABLES = (
    "CREATE TABLE models (first_index INTEGER PRIMARY KEY, name TEXT NOT NULL, sha256 TEXT NOT NULL)",
    "CREATE TABLE answers (answer_index INTEGER PRIMARY KEY, input_checksum INTEGER NOT NULL, layout TEXT NOT NULL, "
    "data BLOB NOT NULL, checksum INTEGER NOT NULL)",
)
_MOST_ANSWERS = 2**53  # 300 years of a million a second
# Some 30 KB: reading one by one costs ten times as much.
_CHECKSUMS_AT_ONCE = 1000


@dataclass(frozen=True)
class JournalModel:
    """A model by its name and the SHA-256 of its whole file, however it is cut and wherever it runs."""

    name: str
    sha256: str

    def __str__(self) -> str:
        return f"{self.name} {self.sha256[:12]}"

    @staticmethod
    def of(manifest: Manifest) -> JournalModel:
        """The model of a bundle."""
        return JournalModel(manifest.model_name, manifest.whole.sha256)


class Journal:
    """Recorded answers, index 0 first; each is in the file before `Dispatcher.stream` gives it to the application.

        with Journal("answers.journal") as journal:
            for answer in itertools.chain(journal, chain.stream(frames, journal=journal)):
                ...  # every answer from the first on: those of earlier runs from the file

    One open Journal at a time has the file; all of its methods may be called from any thread. A SIGKILL loses nothing that was
    recorded. A power cut loses nothing either if `sync_ms` is 0; otherwise at most the last answers, given since the disk confirmed
    one: they are computed and given again.
    """

    def __init__(
        self, path: str | os.PathLike[str], *, sync_ms: float = 0.0, accepts_other_model: bool = False
    ) -> None:
        """Opens or makes the file; what a kill left half written is undone.

        Args:
            sync_ms: 0 has the disk confirm each answer before the application is given it; more, the first answer that comes so
                many milliseconds after the last one that it confirmed, and the last answer of a stream.
            accepts_other_model: go on with another model than the one that gave the answers so far; where it began is recorded.
        Raises: JournalError: no journal, one of a newer version, in use, or it cannot be written. OptionError.
        """
        if not 0 <= sync_ms < float("inf"):
            raise OptionError(f"sync_ms is {sync_ms:g}, expected 0 or more milliseconds.")
        self._path = Path(path)
        self._sync_s = sync_ms / 1e3
        self._accepts_other_model = accepts_other_model
        self._turn = threading.Lock()
        self._is_streaming = False
        self._synced_s, self._is_synced = float("-inf"), True
        with self._errors():
            self._file = sqlite3.connect(self._path, timeout=0, isolation_level=None, check_same_thread=False)
        try:
            with self._errors():
                self._open()
                length = self._file.execute("SELECT 1 + max(answer_index) FROM answers").fetchone()[0] or 0
            if not isinstance(length, int) or not 0 <= length <= _MOST_ANSWERS:
                raise self._damaged(f"it is said to have {length} answers")
            self._length: int = length
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Journal {self._path} {self._length} answers>"

    def __len__(self) -> int:
        """Answers recorded; the one that `stream` gave last has the index `len(journal) - 1`."""
        return self._length

    def __bool__(self) -> bool:
        """True, with answers or without: it is there."""
        return True

    def __iter__(self) -> Iterator[Answer]:
        return self.answers()

    def answers(self, start: int = 0) -> Iterator[Answer]:
        """The answers recorded by now, in order, from that index on; one at a time is in memory.

        Args: start: how many the application has dealt with for good, if it keeps count itself.
        Raises: JournalError: the file is damaged or closed.
        """
        for index in range(start, self._length):
            with self._errors():
                row = self._file.execute(
                    "SELECT layout, data, checksum FROM answers WHERE answer_index = ?", (index,)
                ).fetchone()
            record = None if row is None else AnswerRecord(*row)
            if record is None or not record.is_intact:
                raise self._damaged(f"answer {index} is not what was written")
            try:
                answer = to_answer(record)
            except ValueError as error:
                raise self._damaged(f"answer {index} is not what was written: {error}") from error
            yield answer

    @property
    def models(self) -> list[tuple[int, JournalModel]]:
        """Which model gave the answers, each with the index of its first one."""
        with self._errors():
            rows = self._file.execute("SELECT first_index, name, sha256 FROM models ORDER BY first_index").fetchall()
        if not all(isinstance(text, str) for _, *texts in rows for text in texts):
            raise self._damaged("the name of a model is no text")
        return [(first, JournalModel(name, sha256)) for first, name, sha256 in rows]

    def close(self) -> None:
        """Has the disk confirm all answers and lets others have the file. May be called twice."""
        with self._errors():
            self._file.close()

    @contextmanager
    def streaming(self, model: JournalModel) -> Iterator[None]:
        """For as long as the block runs, answers of this model are recorded.

        Raises: JournalError: another stream records here, or another model's answers are here and that is not accepted.
        """
        with self._turn:
            if self._is_streaming:
                raise JournalError(f"another stream records its answers in {self._path}. Give each its own journal.")
            self._is_streaming = True
        try:
            self._begin(model)
            yield
        finally:
            self._is_streaming = False
            self._sync()

    def switch_model(self, model: JournalModel) -> None:
        """Records that the answers from here on are of this model."""
        with self._errors():
            self._file.execute(
                "INSERT OR REPLACE INTO models VALUES (?, ?, ?)", (self._length, model.name, model.sha256)
            )

    def record(self, answer: Answer, input_checksum: int) -> None:
        """Appends an answer. Raises: JournalError: the disk is full or fails; the answer is not recorded then."""
        record = to_record(answer)
        now_s = time.monotonic()
        is_due = now_s - self._synced_s >= self._sync_s
        row = (self._length, input_checksum, record.layout, record.data, record.checksum)
        with self._errors():
            # A commit that waits for the disk covers those before it that did not.
            self._file.execute(f"PRAGMA synchronous = {'FULL' if is_due else 'NORMAL'}")
            self._file.execute("INSERT INTO answers VALUES (?, ?, ?, ?, ?)", row)
            self._length += 1
            self._is_synced = is_due
        if is_due:
            self._synced_s = now_s

    def input_checksums(self) -> Iterator[int]:
        """Of the inputs whose answers are recorded by now, in order. Raises: JournalError: the file is damaged or closed."""
        length = self._length
        for start in range(0, length, _CHECKSUMS_AT_ONCE):
            stop = min(start + _CHECKSUMS_AT_ONCE, length)
            with self._errors():
                rows = self._file.execute(
                    "SELECT input_checksum FROM answers WHERE answer_index >= ? AND answer_index < ? ORDER BY answer_index",
                    (start, stop),
                ).fetchall()
            if len(rows) != stop - start:  # or a number that a damaged page made large would be counted up to
                raise self._damaged(f"some of the answers {start} to {stop - 1} are missing")
            yield from (row[0] for row in rows)

    def _sync(self) -> None:
        with self._errors():
            if not self._is_synced:
                self._file.execute("PRAGMA wal_checkpoint")
                self._is_synced = True

    def _open(self) -> None:
        # Exclusive: a second dispatcher is refused. The system lets go of the lock when the process ends, however it ends.
        self._file.execute("PRAGMA locking_mode = EXCLUSIVE")
        if self._pragma("application_id") != _APPLICATION_ID:
            if self._file.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
                raise JournalError(f"{self._path} is a database, and no journal. Choose another place.")
            self._write_header()
        if self._pragma("user_version") != FORMAT_VERSION:
            raise JournalError(
                f"{self._path} has format version {self._pragma('user_version')}, this version reads {FORMAT_VERSION}. "
                "Use the version that made it, or another journal."
            )
        # Write-ahead: a commit appends to one file, and that is all that a kill or a power cut can interrupt.
        self._file.execute("PRAGMA journal_mode = WAL")

    def _write_header(self) -> None:
        self._file.execute("PRAGMA synchronous = FULL")
        self._file.execute("BEGIN EXCLUSIVE")
        for statement in _TABLES:
            self._file.execute(statement)
        self._file.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
        self._file.execute(f"PRAGMA user_version = {FORMAT_VERSION}")
        self._file.execute("COMMIT")

    def _pragma(self, name: str) -> Any:
        return self._file.execute(f"PRAGMA {name}").fetchone()[0]

    def _begin(self, model: JournalModel) -> None:
        models = self.models
        if models and models[-1][1] == model:
            return
        if self._length and not self._accepts_other_model:
            known = models[-1][1] if models else "an unknown model"
            raise JournalError(
                f"{self._path} has {self._length} answers of {known}, and this dispatcher serves {model}. Use another journal, "
                "or say accepts_other_model=True if the model was switched on purpose."
            )
        self.switch_model(model)

    def _damaged(self, what: str) -> JournalError:
        return JournalError(
            f"{self._path} is damaged: {what}. Look at the disk; stream from the beginning into another journal."
        )

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """One thread at a time; what SQLite raises becomes a JournalError."""
        with self._turn:
            try:
                yield
            except sqlite3.ProgrammingError as error:
                raise JournalError(f"the journal {self._path} is closed.") from error
            except sqlite3.OperationalError as error:
                if "locked" in str(error):
                    raise JournalError(
                        f"{self._path} is in use by another dispatcher. Choose another journal, or end that one."
                    ) from error
                raise JournalError(f"the journal {self._path} cannot be used: {error}.") from error
            except sqlite3.DatabaseError as error:
                if "not a database" in str(error):
                    raise JournalError(f"{self._path} is no journal. Choose another place.") from error
                raise self._damaged(str(error)) from error
            except MemoryError as error:  # what SQLite says of some damaged headers, too
                raise JournalError(
                    f"the journal {self._path} cannot be used: SQLite asks for more memory than there is. Free some; if that does "
                    "not help, the file is damaged: stream from the beginning into another journal."
                ) from error
            except UnicodeDecodeError as error:  # SQLite's own message quotes what it could not read
                raise self._damaged(f"it holds text that is none, {error.object!r}") from error

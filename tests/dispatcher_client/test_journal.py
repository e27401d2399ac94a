"""The journal: answers in order, one user at a time, one model, and nothing but whole records after a kill."""

from __future__ import annotations

import contextlib
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import zlib
from pathlib import Path

import numpy as np
import pytest

from dispatcher_client import Journal, JournalError, OptionError
from dispatcher_client.journal import FORMAT_VERSION, JournalModel
from protos.v1.manifest_pb2 import Manifest, ModelFile
from tests.dispatcher_client.whole_model import single

MODEL = JournalModel("digits", "a" * 64)
OTHER = JournalModel("digits", "b" * 64)


def answer(index: int, size: int = 8) -> np.ndarray:
    return np.full(size, index, np.int32)


def fill(path: Path, count: int, start: int = 0, **options: float) -> None:
    with Journal(path, **options) as journal, journal.streaming(MODEL):  # type: ignore[arg-type]
        for index in range(start, start + count):
            journal.record(answer(index), index)


def first_numbers(journal: Journal, start: int = 0) -> list[int]:
    return [int(single(a)[0]) for a in journal.answers(start)]


def read_all(path: Path) -> tuple[object, ...]:
    with Journal(path) as journal:
        return journal.models, list(journal.input_checksums()), list(journal)


@pytest.mark.parametrize("sync_ms", [0.0, 50.0, 1e6])
def test_answers_come_back_in_order_after_a_restart(tmp_path: Path, sync_ms: float) -> None:
    path = tmp_path / "journal"
    fill(path, 3, sync_ms=sync_ms)
    fill(path, 2, start=3, sync_ms=sync_ms)
    with Journal(path) as journal:
        assert len(journal) == 5
        assert first_numbers(journal) == [0, 1, 2, 3, 4]
        assert first_numbers(journal, 3) == [3, 4]
        assert list(journal.input_checksums()) == [0, 1, 2, 3, 4]
        assert repr(journal) == f"<Journal {path} 5 answers>"
    assert [p.name for p in tmp_path.iterdir()] == ["journal"]  # one file once it is closed


def test_new_journal_is_empty_and_true(tmp_path: Path) -> None:
    with Journal(tmp_path / "journal") as journal:
        assert journal
        assert (len(journal), list(journal), list(journal.input_checksums()), journal.models) == (0, [], [], [])


def test_iteration_ends_with_what_was_recorded_when_it_began(tmp_path: Path) -> None:
    fill(tmp_path / "journal", 2)
    with Journal(tmp_path / "journal") as journal, journal.streaming(MODEL):
        answers = iter(journal)
        next(answers)
        journal.record(answer(2), 2)
        assert len(list(answers)) == 1


def test_checksums_are_read_in_blocks(tmp_path: Path) -> None:
    fill(tmp_path / "journal", 2500, sync_ms=1e6)
    with Journal(tmp_path / "journal") as journal:
        assert list(journal.input_checksums()) == list(range(2500))


def test_journal_is_refused_while_another_process_has_it(tmp_path: Path) -> None:
    with Journal(tmp_path / "journal"):
        script = f"from dispatcher_client import Journal; Journal({str(tmp_path / 'journal')!r})"
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert "JournalError" in done.stderr
    assert "in use by another dispatcher" in done.stderr
    fill(tmp_path / "journal", 1)


def test_journal_is_refused_while_this_process_has_it(tmp_path: Path) -> None:
    with Journal(tmp_path / "journal"), pytest.raises(JournalError, match="in use by another dispatcher"):
        Journal(tmp_path / "journal")


def test_second_stream_is_refused_until_the_first_has_ended(tmp_path: Path) -> None:
    with Journal(tmp_path / "journal") as journal:
        with journal.streaming(MODEL), pytest.raises(JournalError, match="another stream records"):
            journal.streaming(MODEL).__enter__()
        with journal.streaming(MODEL):
            pass


def test_answers_of_another_model_are_refused(tmp_path: Path) -> None:
    fill(tmp_path / "journal", 2)
    message = r"has 2 answers of digits aaaaaaaaaaaa, and this dispatcher serves digits bbbbbbbbbbbb.*another journal"
    with Journal(tmp_path / "journal") as journal, pytest.raises(JournalError, match=message):
        journal.streaming(OTHER).__enter__()


def test_switched_model_is_recorded_when_it_is_accepted(tmp_path: Path) -> None:
    fill(tmp_path / "journal", 2)
    with Journal(tmp_path / "journal", accepts_other_model=True) as journal, journal.streaming(OTHER):
        journal.record(answer(2), 2)
        assert journal.models == [(0, MODEL), (2, OTHER)]
    with Journal(tmp_path / "journal") as journal, journal.streaming(OTHER):
        assert len(journal) == 3


def test_model_is_another_one_freely_while_there_are_no_answers(tmp_path: Path) -> None:
    with Journal(tmp_path / "journal") as journal:
        for model in (MODEL, OTHER):
            with journal.streaming(model):
                assert journal.models == [(0, model)]


def test_model_of_a_bundle_is_its_whole_file() -> None:
    manifest = Manifest(model_name="digits", whole=ModelFile(sha256="c" * 64))
    assert JournalModel.of(manifest) == JournalModel("digits", "c" * 64)


@pytest.mark.parametrize("content", [b"no journal" * 100, b"SQLite format 3\0" + bytes(200)])
def test_file_that_is_no_journal_is_refused_and_left_alone(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "text").write_bytes(content)
    with pytest.raises(JournalError, match=r"is no journal|is damaged"):
        Journal(tmp_path / "text")
    assert (tmp_path / "text").read_bytes() == content


def test_database_that_is_no_journal_is_refused(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "database") as database:
        database.execute("CREATE TABLE photos (name)")
    database.close()
    with pytest.raises(JournalError, match="is a database, and no journal"):
        Journal(tmp_path / "database")


def test_journal_of_another_version_is_refused(tmp_path: Path) -> None:
    fill(tmp_path / "journal", 1)
    database = sqlite3.connect(tmp_path / "journal")
    database.execute(f"PRAGMA user_version = {FORMAT_VERSION + 1}")
    database.close()
    with pytest.raises(JournalError, match=f"format version {FORMAT_VERSION + 1}, this version reads {FORMAT_VERSION}"):
        Journal(tmp_path / "journal")


def test_place_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    with pytest.raises(JournalError, match="cannot be used: unable to open"):
        Journal(tmp_path / "nowhere" / "journal")


@pytest.mark.parametrize("sync_ms", [-1.0, float("inf"), float("nan")])
def test_interval_that_makes_no_sense_is_refused(tmp_path: Path, sync_ms: float) -> None:
    with pytest.raises(OptionError, match="sync_ms"):
        Journal(tmp_path / "journal", sync_ms=sync_ms)


def test_closed_journal_is_told(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal")
    journal.close()
    journal.close()
    with pytest.raises(JournalError, match="is closed"):
        journal.record(answer(0), 0)


def test_damaged_answer_is_told_by_its_index(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    with Journal(path) as journal, journal.streaming(MODEL):
        for index in range(3):
            journal.record(np.frombuffer(f"answer {index} here".encode(), np.uint8), index)
    content = path.read_bytes()
    assert content.count(b"answer 1 here") == 1
    path.write_bytes(content.replace(b"answer 1 here", b"answer X here"))
    with Journal(path) as journal, pytest.raises(JournalError, match="answer 1 is not what was written"):
        list(journal)


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("UPDATE answers SET answer_index = 9223372036854775807 WHERE answer_index = 2", "is said to have 9.2"),
        ("DELETE FROM answers WHERE answer_index > 0; UPDATE answers SET answer_index = -5", "said to have -4 answers"),
        ("UPDATE answers SET answer_index = 9000000000000 WHERE answer_index = 2", "answers 0 to 999 are missing"),
        ("UPDATE answers SET layout = x'ff'", "answer 0 is not what was written"),
        ("UPDATE answers SET data = 'text'", "answer 0 is not what was written"),
        ("UPDATE models SET sha256 = x'ff'", "name of a model is no text"),
    ],
)
def test_rows_that_no_journal_has_are_told(tmp_path: Path, statement: str, message: str) -> None:
    path = tmp_path / "journal"
    fill(path, 3)
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as file:
        file.executescript(statement)
    with pytest.raises(JournalError, match=f"is damaged: .*{message}"):
        read_all(path)


def test_answer_of_an_unknown_layout_is_told_by_its_index(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    fill(path, 1)
    layout, data = '[["", "|i1", "many"]]', b"x"
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as file:
        checksum = zlib.crc32(data, zlib.crc32(layout.encode()))
        file.execute("UPDATE answers SET layout = ?, data = ?, checksum = ?", (layout, data, checksum))
    with Journal(path) as journal, pytest.raises(JournalError, match="answer 0 is not what was written: its layout"):
        list(journal)


def test_damage_that_sqlite_quotes_in_its_message_is_told(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    fill(path, 1)
    content = path.read_bytes()
    assert content.count(b"CREATE TABLE answers") == 1
    path.write_bytes(content.replace(b"CREATE TABLE answers", b"CREATE TABLE \xff\xfe'wers"))
    with pytest.raises(JournalError, match="is damaged"):
        Journal(path)


def test_full_disk_is_told_and_what_was_recorded_stays(tmp_path: Path) -> None:
    """With a limit on file sizes, as on a full disk."""
    path = tmp_path / "journal"
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    with Journal(path) as journal, journal.streaming(MODEL):
        journal.record(answer(0), 0)
        resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, before[1]))
        try:
            with pytest.raises(JournalError, match="cannot be used"):
                journal.record(answer(1, size=100_000), 1)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        assert len(journal) == 1
        journal.record(answer(1), 1)
    with Journal(path) as journal:
        assert first_numbers(journal) == [0, 1]


def test_answers_are_read_on_one_thread_while_another_records(tmp_path: Path) -> None:
    with Journal(tmp_path / "journal", sync_ms=1e6) as journal, journal.streaming(MODEL):
        ended = threading.Event()

        def record() -> None:
            for index in range(300):
                journal.record(answer(index), index)
            ended.set()

        recording = threading.Thread(target=record)
        recording.start()
        while not ended.is_set():
            numbers = first_numbers(journal)
            assert numbers == list(range(len(numbers)))
        recording.join()
        assert first_numbers(journal) == list(range(300))


# Records answers until the file may not grow any more: then the system kills it, in the middle of a write.
RECORD_UNTIL_KILLED = """
import resource, signal, sys
import numpy as np
from dispatcher_client.journal import Journal, JournalModel

path, limit = sys.argv[1], int(sys.argv[2])
signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
with Journal(path) as journal, journal.streaming(JournalModel("digits", "a" * 64)):
    for index in range(len(journal), 4):
        journal.record(np.full(600, index, np.int32), index)
        print(index, flush=True)
"""


@pytest.mark.parametrize("limit_bytes", [0, 512, 8_000, 20_000, *range(24_000, 44_000, 2_501)])
def test_write_that_a_kill_cuts_short_is_undone(tmp_path: Path, limit_bytes: int) -> None:
    path = tmp_path / "journal"
    command = [sys.executable, "-W", "ignore", "-c", RECORD_UNTIL_KILLED, str(path), str(limit_bytes)]
    cut = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    given = [int(line) for line in cut.stdout.split()]
    assert cut.returncode == -signal.SIGXFSZ or len(given) == 4, cut.stderr
    # What was given before the kill is there; one more may have been recorded and not given.
    assert given == list(range(len(given)))
    with Journal(path) as journal:
        assert len(journal) in (len(given), len(given) + 1)
        assert first_numbers(journal) == list(journal.input_checksums()) == list(range(len(journal)))
        missing = 4 - len(journal)
    fill(path, missing, start=4 - missing)
    with Journal(path) as journal:
        assert first_numbers(journal) == [0, 1, 2, 3]
    assert [p.name for p in tmp_path.iterdir()] == ["journal"]


STRACE = shutil.which("strace")
RECORD = """
import sys
import numpy as np
from dispatcher_client.journal import Journal, JournalModel

with Journal(sys.argv[1], sync_ms=float(sys.argv[2])) as journal, journal.streaming(JournalModel("digits", "a" * 64)):
    for index in range(4):
        journal.record(np.full(600, index, np.int32), index)
        print(index, flush=True)
"""


def traced(arguments: list[str], options: list[str]) -> subprocess.CompletedProcess[str]:
    """The calls that change files go to stderr, one line each."""
    assert STRACE is not None
    calls = "trace=pwrite64,write,fsync,fdatasync,unlink,ftruncate"
    command = [STRACE, "-f", "-y", "-e", calls, *options, sys.executable, "-W", "ignore", "-c", RECORD, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    if "ptrace" in done.stderr and "not permitted" in done.stderr:
        pytest.skip("tracing is not permitted here")
    return done


@pytest.mark.skipif(STRACE is None, reason="strace is not installed")
@pytest.mark.parametrize("call_index", range(1, 56, 6))
def test_journal_is_whole_when_a_kill_comes_at_any_call(tmp_path: Path, call_index: int) -> None:
    path = tmp_path / "journal"
    kill = ["-e", f"inject=pwrite64,fdatasync,fsync,unlink,ftruncate:signal=KILL:when={call_index}"]
    given = [int(line) for line in traced([str(path), "0"], kill).stdout.split()]
    with Journal(path) as journal:
        # What was given is there; one more may have been recorded and not given.
        assert len(given) <= len(journal) <= len(given) + 1
        assert first_numbers(journal) == list(journal.input_checksums()) == list(range(len(journal)))
    assert [p.name for p in tmp_path.iterdir()] == ["journal"]


@pytest.mark.skipif(STRACE is None, reason="strace is not installed")
@pytest.mark.parametrize(("sync_ms", "confirmed"), [("0", [True] * 4), ("1e9", [True, False, False, False])])
def test_disk_confirms_an_answer_before_it_is_given_if_asked_to(
    tmp_path: Path, sync_ms: str, confirmed: list[bool]
) -> None:
    calls = traced([str(tmp_path / "journal"), sync_ms], []).stderr.splitlines()
    was_synced, found = False, []
    for call in calls:
        if "pwrite64(" in call and "journal-wal" in call:
            was_synced = False
        elif "fdatasync(" in call and "journal-wal" in call:
            was_synced = True
        elif "write(1<" in call and r'"\n"' not in call:
            found.append(was_synced)
    assert found == confirmed
    assert any("fdatasync(" in call for call in calls[-12:])  # the last answers, when the stream ends

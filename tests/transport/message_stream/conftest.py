"""Every test here gives back its threads and sockets, and logs no traceback."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator

import pytest

from tests.transport.message_stream.by_hand import comes_true, open_files


@pytest.fixture(autouse=True)
def leaves_nothing(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    def ours() -> set[threading.Thread]:
        return {
            t
            for t in threading.enumerate()
            if t.name.startswith(("boardline-stream", "boardline-accept", "boardline-late", "boardline-room"))
        }

    threads, files = ours(), open_files()
    yield
    assert comes_true(lambda: ours() <= threads), ours() - threads
    assert comes_true(lambda: open_files() <= files + 2), (files, open_files())  # grpcio keeps some of its own
    assert not [r for r in caplog.get_records("call") if r.levelno >= logging.ERROR]

"""Replies on their way to a reader that is slow, stuck or gone: the thread that brings them never waits, and no reply is left."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from node_service import replies as replies_module
from node_service.replies import Replies
from tests.transport.message_stream.by_hand import ADDRESS, LIMITS, PATH, comes_true, ended, in_thread, tcp_pair
from transport.errors import StreamBrokenError
from transport.message_stream import MessageStream

BIG = 10**5  # one fits the first window, a second does not


def message(number: int) -> memoryview:
    return memoryview(bytes([number]) * BIG)


class Link:
    """A board's stream to the one before it, whose end reads when the test says so."""

    def __init__(self) -> None:
        here, there = tcp_pair()
        self.reader = MessageStream.request(here, ADDRESS, PATH, LIMITS)
        self.upstream, _ = MessageStream.accept(there, LIMITS, timeout_s=5)
        self.upstream.answer()
        self.found: list[int] = []
        self._threads = [in_thread(lambda: self._run(self.upstream))]

    def _run(self, stream: MessageStream) -> None:
        def take(found: memoryview) -> None:
            assert len(found) == BIG
            self.found.append(found[0])
            stream.taken(len(found))

        with contextlib.suppress(StreamBrokenError):
            stream.run(take)

    def read(self) -> None:
        self._threads.append(in_thread(lambda: self._run(self.reader)))

    def why(self) -> str:
        """Why no more can be sent upstream."""
        with pytest.raises(StreamBrokenError) as caught:
            self.upstream.post([b""], 0)
        return str(caught.value)

    def close(self) -> None:
        self.reader.abort()
        self.upstream.abort()
        assert all(ended(thread) for thread in self._threads)
        self.reader.close()
        self.upstream.close()


@pytest.fixture
def link() -> Iterator[Link]:
    with contextlib.closing(Link()) as made:
        yield made


@contextmanager
def finishing(replies: Replies) -> Iterator[None]:
    """A thread that finishes, and has finished at the end."""
    thread = in_thread(replies.finish)
    yield
    assert ended(thread)
    assert not [t for t in threading.enumerate() if t.name == "boardline-replies"]


def test_replies_go_at_once_while_their_reader_keeps_up(link: Link) -> None:
    sent: list[int] = []
    replies = Replies(link.upstream, sent.append)
    link.read()
    for n in range(5):
        replies.pass_on(message(n))
        assert comes_true(lambda n=n: len(link.found) == n + 1)  # type: ignore[misc]
    replies.finish()
    assert (link.found, sent) == ([*range(5)], [BIG] * 5)


def test_replies_wait_for_a_late_reader_in_order_and_hold_nobody_up(link: Link) -> None:
    sent: list[int] = []
    replies = Replies(link.upstream, sent.append)
    for n in range(10):
        replies.pass_on(message(n))  # nobody reads: a wait would never end
    assert len(sent) == 2  # one is there, one on its way
    with finishing(replies):
        link.read()
    assert comes_true(lambda: link.found == [*range(10)])
    assert sent == [BIG] * 10


def test_reader_that_takes_nothing_for_too_long_loses_its_stream(link: Link, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replies_module, "_REPLY_TIMEOUT_S", 0.1)
    sent: list[int] = []
    replies = Replies(link.upstream, sent.append)
    for n in range(5):
        replies.pass_on(message(n))
    with finishing(replies):
        pass
    assert link.why() == "it took no message within 0.1 s"
    assert sent == [BIG] * 2


def test_reader_that_is_gone_leaves_no_reply_waiting(link: Link) -> None:
    sent: list[int] = []
    replies = Replies(link.upstream, sent.append)
    for n in range(5):
        replies.pass_on(message(n))
    link.reader.abort()
    with finishing(replies):
        pass
    replies.pass_on(message(9))
    assert sent == [BIG] * 2
    assert "closed the connection" in link.why() or "broke" in link.why()


def test_defect_ends_the_stream_and_leaves_no_reply_waiting(link: Link, caplog: pytest.LogCaptureFixture) -> None:
    def breaks(n_bytes: int) -> None:
        if threading.current_thread().name == "boardline-replies":
            raise ZeroDivisionError("a defect")

    replies = Replies(link.upstream, breaks)
    for n in range(5):
        replies.pass_on(message(n))
    with finishing(replies):
        link.read()
    assert link.why() == "a defect here ended it: ZeroDivisionError('a defect')"
    assert "ZeroDivisionError" in caplog.text
    assert replies._waiting.empty()

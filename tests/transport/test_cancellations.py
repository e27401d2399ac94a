"""Cancellations reach the peer in order, in few messages, and never hold up who tells of them."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

import pytest

from tests.transport.message_stream.by_hand import comes_true
from transport.cancellations import MOST_REMEMBERED, Cancellations
from transport.errors import StreamBrokenError, StreamStalledError
from transport.frame import BytesLike, unpack_frame


class Stream:
    """Takes messages once it may; who does not want to wait for that is told so."""

    def __init__(self) -> None:
        self.told: list[list[int]] = []
        self.is_free = threading.Event()
        self.is_free.set()
        self.is_broken = False
        self.gives_up = False

    def post(self, parts: Sequence[BytesLike], timeout_s: float) -> None:
        if not self.is_free.wait(min(timeout_s, 10)) or self.gives_up:
            raise StreamStalledError("busy")
        if self.is_broken:
            raise StreamBrokenError("gone")
        self.told.append(list(unpack_frame(b"".join(parts))[0].cancelled_ids))


def telling(stream: Stream) -> Cancellations:
    fake: Any = stream
    return Cancellations(fake)


def left(cancellations: Cancellations) -> bool:
    return cancellations._is_sending or bool(cancellations._waiting)


def test_request_is_told_at_once_while_the_stream_is_free() -> None:
    stream = Stream()
    cancellations = telling(stream)
    cancellations.tell([1])
    cancellations.tell([2, 3])
    assert stream.told == [[1], [2, 3]] and not left(cancellations)


@pytest.mark.parametrize("n_threads", [1, 8])
def test_what_is_told_while_the_stream_is_busy_goes_once_it_is_free_and_nothing_is_lost(n_threads: int) -> None:
    stream = Stream()
    cancellations = telling(stream)
    stream.is_free.clear()

    def tell(first: int) -> None:
        for n in range(first, first + 50):
            cancellations.tell([n])

    threads = [threading.Thread(target=tell, args=(100 * t,)) for t in range(n_threads)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
        assert not thread.is_alive()  # although nothing is taken
    assert not stream.told
    stream.is_free.set()
    assert comes_true(lambda: not left(cancellations))
    told = [n for ids in stream.told for n in ids]
    assert sorted(told) == sorted(100 * t + n for t in range(n_threads) for n in range(50))
    assert len(stream.told) <= 3
    for t in range(n_threads):
        assert [n for n in told if n // 100 == t] == [100 * t + n for n in range(50)]


def test_what_waits_is_bounded_and_the_last_ones_count() -> None:
    stream = Stream()
    cancellations = telling(stream)
    stream.is_free.clear()
    for n in range(3 * MOST_REMEMBERED):
        cancellations.tell([n])
    assert len(cancellations._waiting) <= MOST_REMEMBERED
    stream.is_free.set()
    assert comes_true(lambda: not left(cancellations))
    assert stream.told[-1][-1] == 3 * MOST_REMEMBERED - 1


def test_peer_that_is_gone_or_takes_nothing_is_not_told_and_no_thread_stays() -> None:
    stream = Stream()
    cancellations = telling(stream)
    stream.is_broken = True
    cancellations.tell([1])
    assert not left(cancellations)
    stream.is_broken, stream.gives_up = False, True
    cancellations.tell([2])
    assert comes_true(lambda: not left(cancellations))
    stream.gives_up = False
    cancellations.tell([3])
    assert stream.told == [[3]]

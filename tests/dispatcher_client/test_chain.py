"""A chain's stream against a board that takes its time, and callers who do not wait for it."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest

from bundle import BundleSplitting
from dispatcher_client import chain as chain_module
from dispatcher_client.chain import Chain
from dispatcher_client.deadlines import Deadline
from dispatcher_client.errors import ChainClosedError, ReplyTimeoutError
from dispatcher_client.placement import ChainPlacement, StagePlacement
from fleet.errors import BoardUnavailableError, FrameDroppedError
from fleet.inventory import Board
from protos.v1.data_plane_pb2 import Error, Header
from protos.v1.manifest_pb2 import Partition
from transport.address import Address
from transport.channel import DATA_PLANE_STREAM
from transport.codec_setting import RAW
from transport.errors import StreamBrokenError
from transport.frame import frame_parts, unpack_frame
from transport.message_stream import MessageStream, StreamLimits, StreamListener

LIMITS = StreamLimits(2**24)
BIG = [np.zeros(10**6, np.uint8)]


def opens(stream: MessageStream, *, cancels: bool = True) -> None:
    assert stream.receive(5)
    stream.post(frame_parts(Header(opened={"boards": ["board1"], "takes_cancellations": cancels})), 5)


class Noting:
    """A board that answers when the test does."""

    def __init__(self, *, cancels: bool = True) -> None:
        self.cancels = cancels
        self.came: queue.SimpleQueue[Header] = queue.SimpleQueue()
        self.streams: list[MessageStream] = []

    def __call__(self, stream: MessageStream) -> None:
        opens(stream, cancels=self.cancels)
        self.streams.append(stream)

        def note(message: memoryview) -> None:
            stream.taken(len(message))
            self.came.put(unpack_frame(message)[0])

        stream.run(note, lambda: stream.finish(5))

    def answer(self, request_id: int, **fields: Any) -> None:
        self.streams[0].post(frame_parts(Header(request_id=request_id, **fields)), 5)


@contextmanager
def chain_to(behave: Callable[[MessageStream], None]) -> Iterator[Chain]:
    listener = StreamListener(Address("127.0.0.1", 0), DATA_PLANE_STREAM, behave, LIMITS, None)
    listener.start()
    board = Board("board1", Address("127.0.0.1", listener.address.port - 1))
    placement = ChainPlacement(BundleSplitting(0, "d", [Partition()]), (StagePlacement(0, 0, board),))
    chain = Chain(placement, [RAW], credentials=None, on_reply=lambda report: None)
    yield chain
    chain._close()
    listener.stop()
    listener.abort()
    assert listener.join(10)


def test_chain_that_is_closed_while_it_opens_leaves_nothing_open() -> None:
    asked, answer = threading.Event(), threading.Event()
    outcomes: list[list[str] | BoardUnavailableError] = []

    def slow(stream: MessageStream) -> None:
        assert stream.receive(5)
        asked.set()
        assert answer.wait(10)
        stream.post(frame_parts(Header(opened={"boards": ["board1"]})), 5)
        with pytest.raises(StreamBrokenError):
            stream.run(lambda m: None)

    with chain_to(slow) as chain:

        def work() -> None:
            try:
                outcomes.append(chain._open(10))
            except BoardUnavailableError as error:
                outcomes.append(error)

        opening = threading.Thread(target=work)
        opening.start()
        assert asked.wait(10)
        chain._close()
        answer.set()
        opening.join(10)
        assert not opening.is_alive()
        assert chain.failure is not None
        assert chain._reader is None
        assert isinstance(outcomes[0], BoardUnavailableError)


def test_chain_that_was_closed_before_it_opened_does_not_open() -> None:
    with chain_to(opens) as chain:
        chain._close()
        with pytest.raises(BoardUnavailableError):
            chain._open(5)
        assert chain.failure is not None and chain._reader is None


def test_request_behind_one_that_the_board_does_not_take_ends_in_time_and_the_chain_closes() -> None:
    over = threading.Event()

    def takes_nothing(stream: MessageStream) -> None:
        opens(stream)
        over.wait(20)

    with chain_to(takes_nothing) as chain:
        chain._open(5)
        first = chain.post(BIG, Deadline.after(30))
        with pytest.raises(ReplyTimeoutError):
            chain.post(BIG, Deadline.after(0.1)).result(5)
        assert not first.done()
        closing = threading.Thread(target=chain._close)
        closing.start()
        over.set()  # the board hangs up
        closing.join(15)
        assert not closing.is_alive()
        with pytest.raises((ChainClosedError, BoardUnavailableError)):
            first.result(0)


def test_answers_that_are_on_their_way_come_before_the_close_however_many_threads_still_post() -> None:
    """What is posted after the half-close must not break the stream for what was posted before."""

    def echo(stream: MessageStream) -> None:
        opens(stream)
        found: list[memoryview] = []

        def finish() -> None:
            for message in found:
                stream.post([message], 10)
            stream.finish(10)

        def take(message: memoryview) -> None:
            stream.taken(len(message))
            found.append(message)

        stream.run(take, lambda: threading.Thread(target=finish).start())

    with chain_to(echo) as chain:
        chain._open(5)
        futures = [chain.post([], Deadline.after(10)) for _ in range(5)]
        threads = [threading.Thread(target=chain.post, args=(BIG, Deadline.after(10))) for _ in range(4)]
        for thread in threads:
            thread.start()
        chain._close()
        for thread in threads:
            thread.join(10)
            assert not thread.is_alive()
        assert [f.result(0) for f in futures] == [[]] * 5


def test_request_says_how_much_time_it_has_left() -> None:
    board = Noting()
    with chain_to(board) as chain:
        chain._open(5)
        chain.post([], Deadline.after(10))
        chain.post([], Deadline.after(float("inf")))
        assert 9e9 < board.came.get(timeout=5).left_ns <= 10e9
        assert board.came.get(timeout=5).left_ns > 10**18


def test_abandoned_request_is_cancelled_once_and_ends_when_the_board_says_so() -> None:
    board = Noting()
    with chain_to(board) as chain:
        chain._open(5)
        first, second = chain.post([], Deadline.after(10)), chain.post([], Deadline.after(10))
        for _ in range(3):
            first.abandon()
        found = [board.came.get(timeout=5) for _ in range(3)]
        assert [list(h.cancelled_ids) for h in found] == [[], [], [1]]
        assert board.came.empty() and not first.done()
        board.answer(1, error={"code": Error.CANCELLED, "board": "board1"})
        with pytest.raises(FrameDroppedError):
            first.result(5)
        board.answer(2)
        assert second.result(5) == []
        second.abandon()
        assert board.came.empty()


def test_board_that_does_not_understand_cancellations_hears_of_none_and_its_answer_ends_the_request() -> None:
    board = Noting(cancels=False)
    with chain_to(board) as chain:
        chain._open(5)
        reply = chain.post([], Deadline.after(10))
        board.came.get(timeout=5)
        reply.abandon()
        assert not reply.done()
        board.answer(1)
        assert reply.result(5) == []
        assert board.came.empty()


def test_abandoned_request_that_a_board_has_lost_does_not_take_its_place_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(chain_module, "_MOST_HELD_S", 0.1)
    board = Noting()
    with chain_to(board) as chain:
        chain._open(5)
        reply = chain.post([], Deadline.after(10))
        assert not reply.done()
        reply.abandon()
        with pytest.raises(ReplyTimeoutError):
            reply.result(5)
        assert not chain._pending

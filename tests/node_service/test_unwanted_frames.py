"""Frames that nobody waits for any more: late ones and cancelled ones, in one board between a sender and a next board."""

from __future__ import annotations

import queue
import threading

import pytest

from protos.v1.data_plane_pb2 import Error, Header
from tests.node_service.served_streams import (
    Board,
    Sender,
    board,
    echo,
    frame,
    replies_until_the_end,
    reply,
)
from tests.transport.message_stream.by_hand import comes_true
from transport.cancellations import MOST_REMEMBERED
from transport.frame import pack_frame, unpack_frame
from transport.message_stream import MessageStream

LONG_NS = 60 * 10**9
SOON_NS = 10**7


def cancel(*request_ids: int) -> bytes:
    return pack_frame(Header(cancelled_ids=request_ids))


def held(served: Board, sender: Sender, *messages: bytes) -> None:
    """Has the stage hold the first frame while the others, and cancellations, come."""
    served.stage.may_go.clear()
    sender.send([messages[0]])
    assert served.stage.begun.wait(10)
    for message in messages[1:]:
        sender.send([message])


def outcomes(headers: list[Header]) -> dict[int, int]:
    """The error's code, or 0, by request."""
    return {h.request_id: h.error.code for h in headers}


def go_on(served: Board, sender: Sender) -> list[Header]:
    served.stage.may_go.set()
    sender.half_close(5)
    return replies_until_the_end(sender)


@pytest.mark.parametrize("has_spare_core", [False, True])
@pytest.mark.parametrize("behind", [None, echo])
def test_frame_whose_time_is_over_is_not_computed_and_the_board_says_so(behind: object, has_spare_core: bool) -> None:
    with board(behind=behind, has_spare_core=has_spare_core) as (served, stream):  # type: ignore[arg-type]
        held(served, stream, frame(1), frame(2, left_ns=SOON_NS), frame(3, left_ns=LONG_NS), frame(4))
        assert comes_true(lambda: served.streams[0]._frames.qsize() == 3)
        threading.Event().wait(2 * SOON_NS / 1e9)
        found = go_on(served, stream)
    assert outcomes(found) == {1: 0, 2: Error.DEADLINE_EXCEEDED, 3: 0, 4: 0}
    (late,) = [h.error for h in found if h.request_id == 2]
    assert late.board == "this" and "time was over" in late.message
    assert served.stage.n_processed == 3


def test_frame_whose_time_ends_while_it_is_computed_does_not_leave() -> None:
    came: list[int] = []

    def notes(stream: MessageStream) -> None:
        def give_back(message: memoryview) -> None:
            came.append(unpack_frame(message)[0].request_id)
            stream.taken(len(message))
            stream.post([message], 10)

        stream.run(give_back, lambda: stream.finish(5))

    with board(behind=notes) as (served, stream):
        held(served, stream, frame(1, left_ns=5 * SOON_NS), frame(2))
        threading.Event().wait(6 * SOON_NS / 1e9)
        assert outcomes(go_on(served, stream)) == {1: Error.DEADLINE_EXCEEDED, 2: 0}
    assert came == [2] and served.stage.n_processed == 2


def test_time_that_a_frame_spent_in_a_board_is_taken_off() -> None:
    left: queue.SimpleQueue[int] = queue.SimpleQueue()

    def notes(stream: MessageStream) -> None:
        def give_back(message: memoryview) -> None:
            left.put(unpack_frame(message)[0].left_ns)
            echo_one(stream, message)

        stream.run(give_back, lambda: stream.finish(5))

    with board(behind=notes) as (served, stream):
        held(served, stream, frame(1, left_ns=LONG_NS), frame(2))
        threading.Event().wait(SOON_NS / 1e9)
        go_on(served, stream)
    assert 0 < left.get(timeout=5) <= LONG_NS - SOON_NS
    assert left.get(timeout=5) == 0  # without a limit it stays without


def echo_one(stream: MessageStream, message: memoryview) -> None:
    stream.taken(len(message))
    stream.post([message], 10)


@pytest.mark.parametrize("has_spare_core", [False, True])
@pytest.mark.parametrize("behind", [None, echo])
def test_cancelled_frames_are_dropped_though_the_cancellation_comes_after_them(
    behind: object, has_spare_core: bool
) -> None:
    with board(behind=behind, has_spare_core=has_spare_core) as (served, stream):  # type: ignore[arg-type]
        held(served, stream, frame(1), frame(2), frame(3), frame(4), cancel(2, 4))
        assert comes_true(lambda: len(served.streams[0]._cancelled) == 2)
        assert outcomes(go_on(served, stream)) == {1: 0, 2: Error.CANCELLED, 3: 0, 4: Error.CANCELLED}
        assert len(served.streams[0]._cancelled) == 0
    assert served.stage.n_processed == 2


def test_frame_that_is_cancelled_while_it_is_computed_does_not_leave() -> None:
    with board(behind=echo) as (served, stream):
        held(served, stream, frame(1), cancel(1), frame(2))
        assert comes_true(lambda: served.streams[0]._frames.qsize() == 1)
        assert outcomes(go_on(served, stream)) == {1: Error.CANCELLED, 2: 0}


def test_cancellation_goes_on_to_the_next_board_while_this_one_computes() -> None:
    told: queue.SimpleQueue[list[int]] = queue.SimpleQueue()

    def notes(stream: MessageStream) -> None:
        def take(message: memoryview) -> None:
            stream.taken(len(message))
            told.put(list(unpack_frame(message)[0].cancelled_ids))

        stream.run(take, lambda: stream.finish(5))

    with board(behind=notes) as (served, stream):
        held(served, stream, frame(5), cancel(3, 4))
        assert told.get(timeout=10) == [3, 4]
        served.stage.may_go.set()


def test_cancellations_wait_on_a_thread_while_the_next_board_takes_nothing_and_reading_goes_on() -> None:
    takes = threading.Event()
    told: list[int] = []

    def slow(stream: MessageStream) -> None:
        assert takes.wait(20)

        def take(message: memoryview) -> None:
            stream.taken(len(message))
            told.extend(unpack_frame(message)[0].cancelled_ids)

        stream.run(take, lambda: stream.finish(5))

    with board(behind=slow) as (served, stream):
        stream.send([frame(1, 10**7)])  # more than the first window: it stays on its way
        assert comes_true(lambda: served.stage.n_processed == 1)
        for n in range(2, 30):
            stream.send([cancel(n)])
        assert comes_true(lambda: len(served.streams[0]._cancelled) == 28)
        assert not told
        takes.set()
        assert comes_true(lambda: sorted(told) == list(range(2, 30)))


def test_ids_that_are_remembered_are_bounded_and_the_last_ones_count() -> None:
    with board() as (served, stream):
        held(served, stream, frame(1), frame(10**6))
        for begin in range(2, 10 * MOST_REMEMBERED, 1000):
            stream.send([cancel(*range(begin, begin + 1000))])
        stream.send([cancel(10**6)])
        assert comes_true(lambda: 10**6 in served.streams[0]._cancelled._ids)
        assert len(served.streams[0]._cancelled) == MOST_REMEMBERED
        assert outcomes(go_on(served, stream)) == {1: 0, 10**6: Error.CANCELLED}


def test_next_board_that_does_not_understand_cancellations_hears_of_none() -> None:
    messages: list[int] = []

    def old(stream: MessageStream) -> None:
        def give_back(message: memoryview) -> None:
            messages.append(len(message))
            echo_one(stream, message)

        stream.run(give_back, lambda: stream.finish(5))

    with board(behind=old, behind_cancels=False) as (served, stream):
        held(served, stream, frame(1), frame(2), cancel(2))
        assert comes_true(lambda: len(served.streams[0]._cancelled) == 1)
        assert outcomes(go_on(served, stream)) == {1: 0, 2: Error.CANCELLED}
    assert len(messages) == 1


def test_unheard_of_cancellation_is_no_frame_and_has_no_answer() -> None:
    with board() as (_, stream):
        stream.send([cancel(77)])
        stream.send([frame(1)])
        found = reply(stream)
        assert found and (found.request_id, found.HasField("error")) == (1, False)

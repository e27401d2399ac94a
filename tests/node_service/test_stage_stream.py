"""One stage between a sender and a next board that behave badly: every thread ends, and the sender is told why."""

from __future__ import annotations

import contextlib
import threading

import pytest

from protos.v1.data_plane_pb2 import Error, Header
from tests.node_service.served_streams import (
    LIMITS,
    Doubling,
    Handler,
    board,
    echo,
    frame,
    replies_until_the_end,
    reply,
)
from tests.transport.message_stream.by_hand import comes_true
from transport.errors import StreamBrokenError
from transport.frame import pack_frame
from transport.message_stream import MessageStream


@pytest.mark.parametrize("has_spare_core", [False, True])
@pytest.mark.parametrize("behind", [None, echo])
def test_frames_are_answered_in_order_and_the_end_comes_after_them(
    behind: Handler | None, has_spare_core: bool
) -> None:
    with board(behind=behind, has_spare_core=has_spare_core) as (served, stream):
        for n in (1, 2, 3):
            stream.send([frame(n)])
        stream.half_close(5)
        headers = [reply(stream) for _ in range(4)]
        assert [h.request_id if h else None for h in headers] == [1, 2, 3, None]
        stream.close()
    assert served.outcomes == ["ended"]


def test_frame_that_cannot_be_read_ends_the_stream_after_the_answers_before_it() -> None:
    with board() as (_, stream):
        stream.send([frame(1)])
        stream.send([b"\xff" * 40])
        stream.send([frame(2)])
        first, last = reply(stream), reply(stream)
        assert first and first.request_id == 1
        assert last and last.request_id == 0 and last.error.code == Error.BAD_FRAME
        assert reply(stream) is None


def test_unreadable_frame_does_not_stop_the_reader_while_replies_wait_for_credit() -> None:
    """The thread that reads is the one that hears of the credit which the replies need."""
    with board() as (_, stream):
        for n in (1, 2, 3):
            stream.send([frame(n, 10**6)])  # nobody reads the answers yet
        stream.send([b"\xff" * 40])
        threading.Event().wait(0.1)
        found = [reply(stream) for _ in range(5)]
        assert [h.request_id if h else None for h in found] == [1, 2, 3, 0, None]


def test_defect_of_the_stage_is_told_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    with board() as (_, stream):
        stream.send([pack_frame(Header(request_id=1))])
        found = reply(stream)
        assert found and found.error.code == Error.INTERNAL
        assert reply(stream) is None
    assert "ZeroDivisionError" in caplog.text


def test_next_board_that_dies_is_named() -> None:
    with board(behind=lambda stream: stream.close()) as (_, stream):
        found = reply(stream)
        assert found and found.error.code == Error.PEER_UNAVAILABLE and found.error.board == "behind"
        assert reply(stream) is None


def test_next_board_that_dies_while_a_frame_waits_for_its_credit_is_named() -> None:
    def dies(stream: MessageStream) -> None:
        stream.receive(5)
        threading.Event().wait(0.2)

    with board(behind=dies) as (_, stream):
        for n in range(1, 4):
            stream.send([frame(n, 10**6)])
        found = reply(stream)
        assert found and found.error.code == Error.PEER_UNAVAILABLE and found.error.board == "behind"


def test_replies_that_wait_for_the_sender_do_not_make_this_board_seem_dead_to_the_next() -> None:
    ends: list[str] = []

    def replies_a_lot(stream: MessageStream) -> None:
        def give_back(message: memoryview) -> None:
            stream.taken(len(message))
            for _ in range(8):
                threading.Thread(target=post, args=(bytes(message),), daemon=True).start()

        def post(message: bytes) -> None:
            try:
                stream.send([message])
            except StreamBrokenError as error:
                ends.append(str(error))

        stream.run(give_back, lambda: stream.finish(10))

    with board(behind=replies_a_lot) as (served, stream):
        stream.send([frame(1, 10**6)])
        threading.Event().wait(1.5 * LIMITS.silence_s)  # silent on this hop, but alive: nobody asks it
        assert [h.request_id for h in (reply(stream) for _ in range(8)) if h] == [1] * 8
        stream.half_close(5)
        assert reply(stream) is None
        stream.close()
    assert (ends, served.outcomes) == ([], ["ended"])


def test_sender_that_dies_while_replies_wait_for_it_ends_every_thread() -> None:
    def floods(stream: MessageStream) -> None:
        flooding = threading.Thread(target=lambda: flood(stream), daemon=True)
        flooding.start()
        try:
            stream.run(lambda m: stream.taken(len(m)))
        finally:
            stream.abort()
            flooding.join()

    def flood(stream: MessageStream) -> None:
        try:
            while True:
                stream.send([frame(1, 10**5)])
        except StreamBrokenError:
            return

    with board(behind=floods) as (served, stream):
        assert reply(stream)
        threading.Event().wait(0.2)
        stream.close()
    assert served.outcomes[0] != "ended"


@pytest.mark.parametrize("has_spare_core", [False, True])
@pytest.mark.parametrize("behind", [None, echo])
def test_drain_answers_what_came_and_says_why_it_ends(behind: Handler | None, has_spare_core: bool) -> None:
    stage = Doubling()
    stage.may_go.clear()
    with board(stage, behind, has_spare_core=has_spare_core) as (served, stream):
        for n in (1, 2, 3):
            stream.send([frame(n)])
        assert stage.begun.wait(10)
        assert comes_true(lambda: served.streams[0]._frames.qsize() == 2)
        served.streams[0].drain()
        stage.may_go.set()
        found = [reply(stream) for _ in range(3)]
        assert [h.request_id for h in found if h] == [1, 2, 3]
        last = reply(stream)
        assert last and last.error.code == Error.REFUSED and "draining" in last.error.message
        assert reply(stream) is None


def test_sender_that_leaves_is_not_reported_as_a_fault_of_the_next_board(caplog: pytest.LogCaptureFixture) -> None:
    with board(behind=echo) as (served, stream):
        stream.send([frame(1)])
        assert reply(stream)
        stream.close()
    assert "behind" not in caplog.text
    assert served.outcomes == ["it closed the connection"]


@pytest.mark.parametrize("has_spare_core", [False, True])
@pytest.mark.parametrize("behind", [None, echo])
def test_frames_beyond_those_that_may_wait_are_refused_at_once_and_the_stream_goes_on(
    behind: Handler | None, has_spare_core: bool
) -> None:
    with board(behind=behind, has_spare_core=has_spare_core, max_waiting=64) as (served, stream):
        served.stage.may_go.clear()
        stream.send([frame(1)])
        assert served.stage.begun.wait(10)
        for n in range(2, 70):
            stream.send([frame(n)])
        refused = [reply(stream) for _ in range(66, 70)]  # while the stage stands still
        assert [(h.request_id, h.error.code, h.error.board) for h in refused if h] == [
            (n, Error.OVERLOADED, "this") for n in range(66, 70)
        ]
        assert refused[0] and "64 frames wait for stage 0" in refused[0].error.message
        served.stage.may_go.set()
        assert comes_true(lambda: served.streams[0]._frames.empty())
        stream.send([frame(70)])
        stream.half_close(5)
        found = replies_until_the_end(stream)
        assert [(h.request_id, h.HasField("error")) for h in found] == [(n, False) for n in [*range(1, 66), 70]]
        stream.close()
    assert served.outcomes == ["ended"]


def test_flood_by_a_sender_that_takes_no_answers_takes_no_more_memory_than_the_flow_control_gives() -> None:
    with board(max_waiting=8) as (served, stream):
        served.stage.may_go.clear()
        message = frame(1)
        flooding = threading.Event()

        def flood() -> None:
            with contextlib.suppress(StreamBrokenError):
                while True:
                    stream.send([message])
                    flooding.set()

        thread = threading.Thread(target=flood)
        thread.start()
        assert flooding.wait(10)
        assert comes_true(lambda: bool(served.streams))
        refusals = served.streams[0]._refusals
        threading.Event().wait(0.5)
        n_first = refusals._waiting.qsize()
        threading.Event().wait(0.3)
        assert refusals._waiting.qsize() <= max(n_first, 2**17 // len(message))
        served.stage.may_go.set()
        stream.stream.abort()
        thread.join(10)
        assert not thread.is_alive()


def test_send_time_is_that_of_the_frame_before_even_if_it_was_written_late() -> None:
    with board() as (served, stream):
        for n in range(1, 5):
            stream.send([frame(n, 10**6)])  # nobody reads the answers yet, and the credit is three frames
        assert comes_true(lambda: served.stage.n_processed == 4)
        threading.Event().wait(0.2)
        found = [reply(stream) for _ in range(4)]
        assert comes_true(lambda: served.streams[0]._upstream.written_ns > 10**8)
        stream.send([frame(5)])
        found.append(reply(stream))
        times_ns = [h.timings[0].send_ns for h in found if h]
        assert len(times_ns) == 5
        assert times_ns[4] > 10**8


def test_send_time_of_the_first_frame_is_none_though_the_opening_went_before_it() -> None:
    with board(behind=echo) as (_, stream):
        for n in (1, 2):
            stream.send([frame(n)])
        first, second = reply(stream), reply(stream)
        assert first and first.timings[0].send_ns == 0
        assert second and second.timings[0].send_ns > 0


def test_link_is_told_how_long_a_frame_takes_without_its_own_coding() -> None:
    with board() as (served, stream):
        stream.send([frame(1)])
        assert reply(stream)
        assert comes_true(lambda: served.coding.told_s == [0.005])  # decoding counts

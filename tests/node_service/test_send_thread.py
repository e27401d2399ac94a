"""On a board with a core to spare a thread of its own codes and sends: order, errors, drains and ends."""

from __future__ import annotations

import threading

import pytest

from protos.v1.data_plane_pb2 import Error, Header
from tests.node_service.served_streams import (
    Board,
    Handler,
    Sender,
    board,
    echo,
    frame,
    replies_until_the_end,
    reply,
)
from tests.transport.message_stream.by_hand import comes_true
from transport.frame import pack_frame
from transport.message_stream import MessageStream


def fill_up_to_work(served: Board, sender: Sender) -> None:
    """Three frames fit the credit of who reads nothing, one is written late, one waits for that, one is in the slot."""
    for n in range(1, 7):
        sender.send([frame(n, 10**6)])
    leaving = served.streams[0]._leaving
    assert leaving is not None
    assert comes_true(lambda: served.stage.n_processed == 6 and leaving.full())


@pytest.mark.parametrize("behind", [None, echo])
def test_error_of_a_frame_may_overtake_the_answer_before_it_and_ids_tell_which_is_which(behind: Handler | None) -> None:
    """The thread that works tells of the error while the one that sends still codes the frame before."""
    with board(behind=behind, has_spare_core=True) as (served, stream):
        served.coding.may_encode.clear()
        for n, size in ((1, 10), (2, 0), (3, 10)):
            stream.send([frame(n, size)])
        first = reply(stream)
        assert first and (first.request_id, first.error.code) == (2, Error.BAD_FRAME)
        served.coding.may_encode.set()
        stream.half_close(5)
        others = replies_until_the_end(stream)
        assert [(h.request_id, h.HasField("error")) for h in others] == [(1, False), (3, False)]
        stream.close()
    assert served.outcomes == ["ended"]


def test_work_that_fails_while_the_send_thread_is_blocked_ends_the_stream(caplog: pytest.LogCaptureFixture) -> None:
    with board(has_spare_core=True) as (served, stream):
        fill_up_to_work(served, stream)
        stream.send([pack_frame(Header(request_id=7))])
        assert comes_true(lambda: "ZeroDivisionError" in caplog.text)
        found = replies_until_the_end(stream)
        assert [h.request_id for h in found][:4] == [1, 2, 3, 4]
        assert [h.error.code for h in found if h.request_id == 0] == [Error.INTERNAL]


def test_work_that_fails_while_the_next_board_takes_nothing_ends_the_stream() -> None:
    over = threading.Event()

    def takes_nothing(stream: MessageStream) -> None:
        assert over.wait(20)

    with board(behind=takes_nothing, has_spare_core=True) as (served, stream):
        stream.send([frame(1, 10**7)])  # more than the first window
        assert comes_true(lambda: served.stage.n_processed == 1)
        stream.send([frame(2, 10**6)])
        assert comes_true(lambda: served.stage.n_processed == 2)
        stream.send([pack_frame(Header(request_id=3))])
        found = replies_until_the_end(stream)  # at once: the stream to the sender is free
        assert [(h.request_id, h.error.code) for h in found] == [(0, Error.INTERNAL)]
        over.set()


@pytest.mark.parametrize("n_waiting", [3, 4])
def test_send_that_fails_while_work_waits_for_the_slot_names_the_next_board(n_waiting: int) -> None:
    """Of the frames, one is late, one waits for it, one is in the slot, and the fourth waits for that."""
    dies = threading.Event()

    def takes_nothing(stream: MessageStream) -> None:
        assert dies.wait(20)

    with board(behind=takes_nothing, has_spare_core=True) as (served, stream):
        for n in range(1, n_waiting + 1):
            stream.send([frame(n, 10**6)])
        leaving = served.streams[0]._leaving
        assert leaving is not None
        assert comes_true(lambda: served.stage.n_processed == n_waiting and leaving.full())
        dies.set()
        found = replies_until_the_end(stream)
        assert [(h.request_id, h.error.code) for h in found] == [(0, Error.PEER_UNAVAILABLE)]
        assert found[0].error.board == "behind"


def test_sender_that_dies_while_work_waits_for_the_slot_ends_every_thread() -> None:
    with board(has_spare_core=True) as (served, stream):
        fill_up_to_work(served, stream)
        stream.send([frame(7, 10**6)])
        assert comes_true(lambda: served.stage.n_processed == 7)
        stream.close()
    assert served.outcomes and served.outcomes != ["ended"]


def test_drain_waits_for_what_the_send_thread_still_has() -> None:
    with board(has_spare_core=True) as (served, stream):
        fill_up_to_work(served, stream)
        served.streams[0].drain()
        found = replies_until_the_end(stream)
        assert [h.request_id for h in found] == [1, 2, 3, 4, 5, 6, 0]
        assert found[-1].error.code == Error.REFUSED and "draining" in found[-1].error.message

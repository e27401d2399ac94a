"""One stage between a sender and a next board that behave badly: every thread ends, and the sender is told why."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Union

import numpy as np
import pytest

from node_service.errors import StalledError
from node_service.frame_work import FrameWork
from node_service.next_board import NextBoard
from node_service.stage_stream import StageStream
from protos.v1.data_plane_pb2 import Codec, Error, Header, Hop, OpenStream
from tests.transport.message_stream.by_hand import comes_true
from transport.address import Address
from transport.channel import DATA_PLANE_STREAM
from transport.codec_setting import RAW, CodecSetting
from transport.errors import FrameError, StreamBrokenError
from transport.frame import EncodedTensor, frame_parts, pack_frame, unpack_frame
from transport.link_coding import LinkCoding
from transport.message_stream import MessageStream, StreamLimits, StreamListener, open_stream
from transport.tensor_codec import encode_tensor
from transport.tensor_spec import Array

LOCAL = Address("127.0.0.1", 0)
LIMITS = StreamLimits(2**24, silence_s=0.9)
Handler = Callable[[MessageStream], None]


class Doubling:
    """A stage that gives back the tensors it gets, once it may."""

    stage_index = 0

    def __init__(self) -> None:
        self.may_go = threading.Event()
        self.may_go.set()
        self.begun = threading.Event()
        self.n_processed = 0
        self.stalled: StalledError | None = None

    def standstill(self) -> StalledError | None:
        return self.stalled

    def excuse(self, since_s: float, until_s: float) -> None:
        pass

    def process(self, arriving: list[EncodedTensor], arrived_ns: int) -> FrameWork:
        self.begun.set()
        assert self.may_go.wait(20)
        if not arriving:
            raise ZeroDivisionError("a defect of the stage")
        if not arriving[0].header.length:
            raise FrameError("a frame that the stage refuses")
        self.n_processed += 1
        return FrameWork(list(arriving), wait_ns=0, decode_ns=2_000_000, compute_ns=3_000_000)


class Coding(LinkCoding):
    """Sends raw, on a thread of its own where a core is spare; and remembers what it was told."""

    def __init__(self, *, has_spare_core: bool) -> None:
        super().__init__(
            [RAW, CodecSetting(Codec.LZ4)] if has_spare_core else [],
            [np.dtype(np.uint8)],
            frozenset({Codec.RAW, Codec.LZ4}),
            cores=1.0,
            has_spare_core=has_spare_core,
            usage=lambda: None,
        )
        self.told_s: list[float] = []
        self.may_encode = threading.Event()
        self.may_encode.set()

    def encode(self, leaving: Sequence[Union[Array, EncodedTensor]]) -> list[EncodedTensor]:
        assert self.may_encode.wait(20)
        return super().encode(leaving)

    def note_sent(self, compute_s: float) -> None:
        self.told_s.append(compute_s)
        super().note_sent(compute_s)


class Board:
    """A listener that runs StageStreams, with what became of each."""

    def __init__(
        self, stage: Doubling, next_address: Address | None, *, has_spare_core: bool, max_waiting: int = 1024
    ) -> None:
        self.stage, self.next_address, self.max_waiting = stage, next_address, max_waiting
        self.coding = Coding(has_spare_core=has_spare_core)
        self.outcomes: list[str] = []
        self.streams: list[StageStream] = []

    def serve(self, upstream: MessageStream) -> None:
        next_board = None
        if self.next_address is not None:
            before = Address(self.next_address.host, self.next_address.port - 1)
            next_board = NextBoard(Hop(board="behind", address=str(before)), insecure=False, limits=LIMITS)
            next_board.open(OpenStream(timeout_s=5))
        stream = StageStream(self.stage, "this", upstream, next_board, self.coding, max_waiting=self.max_waiting)
        self.streams.append(stream)
        try:
            stream.run()
            self.outcomes.append("ended")
        except StreamBrokenError as error:
            self.outcomes.append(str(error))
        finally:
            if next_board is not None:
                next_board.close()


@contextmanager
def listening(handler: Handler) -> Iterator[Address]:
    listener = StreamListener(LOCAL, DATA_PLANE_STREAM, handler, LIMITS)
    listener.start()
    try:
        yield listener.address
    finally:
        listener.stop()
    assert listener.join(15), [t.name for t in threading.enumerate()]


class Sender:
    """A dispatcher that reads at once and takes answers off its queue when the test does."""

    def __init__(self, address: Address) -> None:
        self.stream = open_stream(address, DATA_PLANE_STREAM, LIMITS, insecure=False, timeout_s=5)
        self.send, self.half_close = self.stream.send, self.stream.half_close
        self._answers: queue.SimpleQueue[memoryview | None] = queue.SimpleQueue()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        with contextlib.suppress(StreamBrokenError):
            self.stream.run(self._answers.put)
        self._answers.put(None)

    def reply(self) -> Header | None:
        message = self._answers.get(timeout=10)
        if message is None:
            return None
        self.stream.taken(len(message))
        return unpack_frame(message)[0]

    def close(self) -> None:
        self.stream.abort()
        self._reader.join()
        self.stream.close()


def reply(sender: Sender) -> Header | None:
    return sender.reply()


@contextmanager
def board(
    stage: Doubling | None = None,
    behind: Handler | None = None,
    *,
    has_spare_core: bool = False,
    behind_cancels: bool = True,
    max_waiting: int = 1024,
) -> Iterator[tuple[Board, Sender]]:
    """A board, maybe with one behind it, and a stream to it."""
    before = set(threading.enumerate())
    if behind is None:
        served = Board(stage or Doubling(), None, has_spare_core=has_spare_core, max_waiting=max_waiting)
        with listening(served.serve) as address, contextlib.closing(Sender(address)) as stream:
            yield served, stream
    else:
        with listening(opened_then(behind, cancels=behind_cancels)) as behind_address:
            served = Board(stage or Doubling(), behind_address, has_spare_core=has_spare_core, max_waiting=max_waiting)
            with listening(served.serve) as address, contextlib.closing(Sender(address)) as stream:
                yield served, stream
    left = {t for t in threading.enumerate() if t.name.startswith("boardline-")} - before
    for thread in left:
        thread.join(5)
    assert not [t for t in left if t.is_alive()]


def opened_then(behave: Handler, *, cancels: bool = True) -> Handler:
    def handle(stream: MessageStream) -> None:
        assert stream.receive(5)
        stream.post(frame_parts(Header(opened={"takes_cancellations": cancels})), 5)
        behave(stream)

    return handle


def frame(request_id: int, size: int = 10, left_ns: int = 0) -> bytes:
    return pack_frame(Header(request_id=request_id, left_ns=left_ns), [encode_tensor(np.zeros(size, np.uint8))])


def echo(stream: MessageStream) -> None:
    """A board behind that answers at once and ends when it should."""

    def give_back(message: memoryview) -> None:
        stream.taken(len(message))
        if not unpack_frame(message)[0].cancelled_ids:
            stream.post([message], 10)

    stream.run(give_back, lambda: stream.finish(5))


def replies_until_the_end(sender: Sender) -> list[Header]:
    return list(iter(sender.reply, None))


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

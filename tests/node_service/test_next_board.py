"""The hop behind a board: it opens, frames go and replies come, and whatever goes wrong names the next board."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from node_service import next_board as next_board_module
from node_service.errors import PeerUnavailableError, RelayedError
from node_service.next_board import NextBoard
from protos.v1.data_plane_pb2 import Error, Header, Hop, OpenStream
from tests.transport.message_stream.by_hand import ended, in_thread
from transport.address import Address
from transport.channel import DATA_PLANE_STREAM
from transport.errors import AddressError, FrameError
from transport.frame import frame_parts
from transport.message_stream import MessageStream, StreamLimits, StreamListener

LIMITS = StreamLimits(2**24)
OPENING = OpenStream(deployment_id="d", timeout_s=5.0)
Behave = Callable[[MessageStream], None]


def hop_to(port: int) -> Hop:
    return Hop(board="pi2", address=f"127.0.0.1:{port - 1}")  # frames go to the port after it


@contextmanager
def next_board(behave: Behave) -> Iterator[NextBoard]:
    """The hop to a board that has taken the opening and goes on as it likes."""

    def serve(stream: MessageStream) -> None:
        assert stream.receive(5)
        behave(stream)

    listener = StreamListener(Address("127.0.0.1", 0), DATA_PLANE_STREAM, serve, LIMITS, None)
    listener.start()
    hop = NextBoard(hop_to(listener.address.port), credentials=None, limits=LIMITS)
    try:
        yield hop
    finally:
        hop.abort()
        hop.close()
        listener.stop()
        listener.abort()
        assert listener.join(10)


def answers(header: Header, then: Behave = lambda stream: stream.finish(5)) -> Behave:
    def behave(stream: MessageStream) -> None:
        stream.post(frame_parts(header), 5)
        then(stream)

    return behave


OPENED = Header(opened={"boards": ["pi2", "pi3"], "cores": 4.0})


def echo(stream: MessageStream) -> None:
    """Gives every frame back, on a thread of its own: the one that reads must not wait."""
    frames: queue.SimpleQueue[memoryview | None] = queue.SimpleQueue()

    def give_back() -> None:
        while (message := frames.get()) is not None:
            stream.taken(len(message))
            stream.post([message], 10)
        stream.finish(10)

    replying = in_thread(give_back)
    stream.run(frames.put, lambda: frames.put(None))
    assert ended(replying)


def takes_nothing(stream: MessageStream) -> None:
    """Until the one before it hangs up; what comes stays in the system's buffers and beyond the window."""
    stream.wait_for_end(60)


def test_opening_tells_the_boards_behind() -> None:
    with next_board(answers(OPENED)) as hop:
        opened = hop.open(OPENING)
    assert (list(opened.boards), opened.cores) == (["pi2", "pi3"], 4.0)


def test_opening_reaches_the_next_board_as_it_is() -> None:
    came: list[bytes] = []

    def serve(stream: MessageStream) -> None:
        came.append(bytes(stream.receive(5) or b""))
        stream.post(frame_parts(OPENED), 5)

    listener = StreamListener(Address("127.0.0.1", 0), DATA_PLANE_STREAM, serve, LIMITS, None)
    listener.start()
    hop = NextBoard(hop_to(listener.address.port), credentials=None, limits=LIMITS)
    hop.open(OPENING)
    hop.close()
    listener.stop()
    assert listener.join(10)
    assert came == [b"".join(bytes(part) for part in frame_parts(Header(open=OPENING)))]


def test_frames_go_and_replies_come_in_order_until_the_end() -> None:
    bodies = [bytes([n]) * size for n, size in enumerate((0, 10, 10**6, 3, 10**5))]
    with next_board(answers(OPENED, echo)) as hop:
        hop.open(OPENING)
        found: list[bytes] = []

        def keep(reply: memoryview) -> None:
            found.append(bytes(reply))
            hop.stream.taken(len(reply))

        relaying = in_thread(lambda: hop.relay(keep))
        for body in bodies:
            hop.send([body[:3], body[3:]])
        hop.finish()
        assert ended(relaying)
        assert found == bodies


def test_refusal_of_a_board_behind_is_passed_on_as_it_came() -> None:
    told = Error(code=Error.NOT_LOADED, message="stage 2 is not loaded", board="pi3")
    with next_board(answers(Header(error=told))) as hop, pytest.raises(RelayedError) as caught:
        hop.open(OPENING)
    assert caught.value.error == told


def breaks(stream: MessageStream) -> None:
    stream.abort()


def ends(stream: MessageStream) -> None:
    stream.finish(5)
    stream.wait_for_end()


@pytest.mark.parametrize(
    ("behave", "words"),
    [
        (breaks, "broke the stream: it closed the connection"),
        (ends, "ended the stream at once"),
        (answers(Header(request_id=1)), "answered the opening of the stream with something else"),
        (lambda stream: stream.refuse(14, "draining"), "broke the stream: .*gRPC status 14 draining"),
    ],
)
def test_board_that_does_not_open_its_stream_is_named(behave: Behave, words: str) -> None:
    with next_board(behave) as hop, pytest.raises(PeerUnavailableError, match=rf"127\S* {words}") as caught:
        hop.open(OPENING)
    assert caught.value.board == "pi2"


def test_board_that_answers_with_no_frame_is_a_frame_error() -> None:
    with next_board(lambda stream: stream.post([b"\xff" * 20], 5)) as hop, pytest.raises(FrameError):
        hop.open(OPENING)


def test_board_that_says_nothing_is_given_up_in_time() -> None:
    with next_board(takes_nothing) as hop:
        began_s = time.monotonic()
        with pytest.raises(PeerUnavailableError, match=r"did not open its stream within 0\.2 s"):
            hop.open(OpenStream(timeout_s=0.2))
        assert time.monotonic() - began_s < 3


def test_board_that_is_not_there_is_named() -> None:
    with pytest.raises(PeerUnavailableError, match=r"did not open its stream: .*Connection refused") as caught:
        NextBoard(hop_to(2), credentials=None, limits=LIMITS).open(OPENING)
    assert caught.value.board == "pi2"


def test_address_must_be_one() -> None:
    with pytest.raises(AddressError):
        NextBoard(Hop(board="pi2", address="pi2"), credentials=None, limits=LIMITS)


def test_board_that_breaks_is_named_by_who_sends_and_by_who_relays() -> None:
    with next_board(answers(OPENED, breaks)) as hop:
        hop.open(OPENING)
        with pytest.raises(PeerUnavailableError, match="broke the stream"):
            hop.relay(lambda reply: None)
        with pytest.raises(PeerUnavailableError, match="broke the stream"):
            hop.send([b"x"])
        hop.finish()  # who relays has told


def test_board_that_takes_no_frames_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(next_board_module, "_SEND_TIMEOUT_S", 0.1)
    with next_board(answers(OPENED, takes_nothing)) as hop:
        hop.open(OPENING)
        hop.send([bytes(2**20)])  # beyond the window: it stays on its way
        attempts: list[Callable[[], object]] = [lambda: hop.send([b"x"]), hop.finish]
        for attempt in attempts:
            with pytest.raises(PeerUnavailableError, match=r"broke the stream: it took no message within 0\.1 s"):
                attempt()


def test_abort_ends_a_stream_that_is_still_to_be_opened() -> None:
    with next_board(answers(OPENED, takes_nothing)) as hop:
        hop.abort()
        hop.close()
        with pytest.raises(PeerUnavailableError, match="the stream was ended here"):
            hop.open(OPENING)
        assert not hop.is_open


def test_abort_wakes_who_relays() -> None:
    with next_board(answers(OPENED, takes_nothing)) as hop:
        hop.open(OPENING)
        assert hop.is_open
        woken = threading.Event()

        def relay() -> None:
            with pytest.raises(PeerUnavailableError):
                hop.relay(lambda reply: None)
            woken.set()

        relaying = in_thread(relay)
        hop.abort()
        assert ended(relaying)
        assert woken.is_set()

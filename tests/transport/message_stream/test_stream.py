"""A stream against a peer that speaks HTTP/2 by hand: odd but allowed things are taken, the rest is a typed error in time."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
from hyperframe.frame import (
    GoAwayFrame,
    HeadersFrame,
    PingFrame,
    RstStreamFrame,
    WindowUpdateFrame,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.transport.message_stream.by_hand import (
    ADDRESS,
    LIMITS,
    PATH,
    TRAILERS,
    breaks_later,
    check_that_it_breaks,
    client_and_peer,
    comes_true,
    data,
    ended,
    grpc_message,
    headers,
    in_thread,
    opened,
    raw_frame,
    server_and_peer,
    tcp_pair,
)
from transport.errors import StreamBrokenError, StreamStalledError
from transport.frame import ALIGNMENT_BYTES
from transport.message_stream import MessageStream, StreamLimits
from transport.message_stream.stream import MessageTooLargeError

QUICK = StreamLimits(2**24, silence_s=0.6)
END = data(b"", "END_STREAM")


def received(stream: MessageStream) -> list[bytes]:
    """Everything until a client of ours sees the end."""
    found: list[bytes] = []

    def take(message: memoryview) -> None:
        assert len(message) == 0 or memory_address(message) % ALIGNMENT_BYTES == 0
        found.append(bytes(message))
        stream.taken(len(message))

    stream.run(take)
    return found


def memory_address(view: memoryview) -> int:
    return int(np.frombuffer(view, np.uint8).ctypes.data)


@settings(max_examples=40)
@given(
    st.lists(st.binary(max_size=300), max_size=6),
    st.lists(st.tuples(st.integers(0, 200), st.integers(0, 40)), max_size=12),
)
def test_messages_come_however_they_are_split_and_padded(bodies: list[bytes], cuts: list[tuple[int, int]]) -> None:
    """Several messages in one DATA frame, one in many, empty frames, padding."""
    rest = b"".join(map(grpc_message, bodies))
    frames = []
    for size, pad in cuts:
        frames.append(data(rest[:size], pad=pad))
        rest = rest[size:]
    frames.append(data(rest))
    with client_and_peer() as (stream, peer):
        peer.send(opened(as_client=False), *frames, headers(TRAILERS, "END_STREAM"))
        assert received(stream) == bodies


def test_padding_does_not_use_the_window_up() -> None:
    with server_and_peer() as (stream, peer):
        reading = in_thread(lambda: stream.run(lambda m: stream.taken(len(m))))
        frames, allowed = peer.frames(), 2**17
        for _ in range(1500):  # 256 bytes of padding each: three first windows
            peer.send(data(grpc_message(b"x"), pad=255))
            allowed -= 6 + 256
            while allowed < 2**15:
                frame = next(frames)
                if isinstance(frame, WindowUpdateFrame) and frame.stream_id == 1:
                    allowed += frame.window_increment
        peer.send(END)
        peer.close()
        assert ended(reading)


def test_messages_that_come_in_one_frame_with_the_first_are_not_lost() -> None:
    with server_and_peer() as (stream, peer):
        peer.send(
            data(b"".join(grpc_message(b) for b in (b"opening", b"1", b"2"))), data(grpc_message(b"3"), "END_STREAM")
        )
        assert bytes(stream.receive(5) or b"") == b"opening"
        assert bytes(stream.receive(5) or b"") == b"1"
        found: list[bytes] = []
        peer.socket.shutdown(socket.SHUT_WR)
        stream.run(lambda m: found.append(bytes(m)))
        assert found == [b"2", b"3"]


WRONG = {
    "data on no stream": raw_frame(0, grpc_message(b"x"), 0, 0),
    "data on another stream": data(grpc_message(b"x"), stream_id=5),
    "data after the end": END + END,
    "end in a prefix": data(b"\0\0", "END_STREAM"),
    "end in a message": data(grpc_message(b"xy")[:-1], "END_STREAM"),
    "compressed": data(grpc_message(b"x", compressed=1)),
    "more padding than bytes": raw_frame(0, b"\x09abc", 0x8),
    "padding without its length": raw_frame(0, b"", 0x8),
    "window overflow of the stream": WindowUpdateFrame(1, window_increment=2**31 - 1).serialize(),
    "window overflow of the connection": WindowUpdateFrame(0, window_increment=2**31 - 1).serialize(),
    "no increment": raw_frame(8, bytes(4)),
    "short increment": raw_frame(8, bytes(3)),
    "large control frame": raw_frame(0xEE, bytes(70_000)),
    "more than the window": data(bytes(2**17 + 1)),
    "not HTTP/2": b"\xff" * 50,
    "cut short": data(grpc_message(b"x"))[:-1],
}


@pytest.mark.parametrize("what", WRONG)
@pytest.mark.parametrize("is_client", [True, False])
def test_what_http2_or_grpc_forbid_breaks_the_stream(what: str, is_client: bool) -> None:
    check_that_it_breaks(WRONG[what], is_client)


WHOLE = opened() + data(grpc_message(b"abc"), pad=2) + data(grpc_message(b"de"), "END_STREAM")


def test_connection_may_close_at_every_byte() -> None:
    def keep(messages: list[bytes], message: memoryview) -> None:
        messages.append(bytes(message))

    found: list[list[bytes]] = []
    for stop in range(len(WHOLE) + 1):
        here, there = tcp_pair()
        with here, there:
            there.sendall(WHOLE[:stop])
            there.shutdown(socket.SHUT_WR)
            messages: list[bytes] = []
            try:
                stream, _ = MessageStream.accept(here, LIMITS, 5)
            except StreamBrokenError:
                continue
            try:
                stream.run(partial(keep, messages))
                assert stop == len(WHOLE)
            except StreamBrokenError:
                assert stop < len(WHOLE)
            stream.close()
            found.append(messages)
    assert found[-1] == [b"abc", b"de"]


def test_bytes_may_trickle() -> None:
    here, there = tcp_pair()
    with here, there:
        there.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        trickling = in_thread(lambda: [there.send(WHOLE[i : i + 1]) for i in range(len(WHOLE))])
        stream, _ = MessageStream.accept(here, LIMITS, 5)
        assert bytes(stream.receive(5) or b"") == b"abc"
        assert bytes(stream.receive(5) or b"") == b"de"
        assert stream.receive(5) is None
        stream.close()
        assert ended(trickling)


@settings(max_examples=60)
@given(st.binary(max_size=200), st.booleans())
def test_garbage_is_a_typed_error(garbage: bytes, is_client: bool) -> None:
    with (client_and_peer if is_client else server_and_peer)() as (stream, peer):
        peer.send(opened(as_client=False) if is_client else b"", garbage)
        peer.socket.shutdown(socket.SHUT_WR)
        with contextlib.suppress(StreamBrokenError):  # garbage may be a DATA frame that ends a server's stream
            stream.run(lambda m: stream.taken(len(m)))


def test_announced_message_takes_no_memory_before_it_comes() -> None:
    def resident() -> int:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * 4096

    before = resident()
    with server_and_peer(StreamLimits(2**28)) as (stream, peer):
        reading = breaks_later(lambda: stream.run(lambda m: None))
        peer.send(data(grpc_message(bytes(100))[:1] + (2**28).to_bytes(4, "big") + bytes(100)))
        assert comes_true(lambda: stream._message is not None)
        assert resident() - before < 2**25
        peer.close()
        assert ended(reading)


@pytest.mark.parametrize("is_client", [True, False])
def test_message_that_is_too_large_is_refused_from_its_prefix(is_client: bool) -> None:
    with (client_and_peer if is_client else server_and_peer)(StreamLimits(100)) as (stream, peer):
        peer.send(opened(as_client=False) if is_client else b"", data(grpc_message(bytes(101))))
        if not is_client:
            peer.send(bytes(10_000))
        answers: list[object] = []

        def read() -> None:
            answers.extend(peer.frames())
            peer.close()

        reading = in_thread(read)
        peer.socket.shutdown(socket.SHUT_WR)
        with pytest.raises(MessageTooLargeError, match="101 bytes; at most 100"):
            stream.run(lambda m: None)
        assert ended(reading)
        assert is_client or isinstance(answers[-2], HeadersFrame)


def test_pings_are_answered_while_the_application_takes_nothing_and_memory_is_bounded() -> None:
    with server_and_peer() as (server, peer):
        queued: list[int] = []
        reading = breaks_later(lambda: server.run(lambda m: queued.append(len(m))))
        frames, allowed, body = peer.frames(), 2**17, bytes(10**5)

        def pong() -> int:
            """Answers a ping; by how much the window was raised before."""
            peer.send(PingFrame(0, opaque_data=b"12345678").serialize())
            raised = 0
            for frame in frames:
                if isinstance(frame, WindowUpdateFrame) and frame.stream_id == 1:
                    raised += frame.window_increment
                if isinstance(frame, PingFrame):
                    return raised
            raise AssertionError

        while allowed >= len(body) + 5:
            peer.send(data(grpc_message(body)))
            allowed += pong() - len(body) - 5
        assert len(queued) == 3
        assert pong() == 0
        for n in queued:
            server.taken(n)
        assert pong() >= 2 * len(body)
        peer.close()
        assert ended(reading)


def test_peer_that_asks_for_answers_and_takes_none_is_given_up() -> None:
    with server_and_peer(buffer_bytes=2**13) as (stream, peer):

        def read() -> None:
            with pytest.raises(StreamBrokenError, match="takes no answers"):
                stream.run(lambda m: None)
            stream.close()

        reading = in_thread(read)
        pings = PingFrame(0, opaque_data=b"12345678").serialize() * 1000
        try:
            for _ in range(2000):
                peer.send(pings)
        except OSError:
            pass
        else:
            raise AssertionError("it took 34 MB of pings")
        assert ended(reading)


@pytest.mark.parametrize("waits_in", ["receive", "run", "send", "post", "half_close"])
def test_abort_wakes_whoever_waits(waits_in: str) -> None:
    with client_and_peer() as (stream, _):
        if waits_in in ("send", "post", "half_close"):
            stream.post([bytes(2**17)], 1)  # waits for credit
        works: dict[str, Callable[[], object]] = {
            "receive": lambda: stream.receive(60),
            "run": lambda: stream.run(lambda m: None),
            "send": lambda: stream.send([b"x"]),
            "post": lambda: stream.post([b"x"], 60),
            "half_close": lambda: stream.half_close(60),
        }
        outcomes: list[str] = []

        def work() -> None:
            try:
                works[waits_in]()
                outcomes.append("returned")
            except StreamBrokenError as error:
                outcomes.append(str(error))

        thread = in_thread(work)
        threading.Event().wait(0.05)
        stream.abort(StreamBrokenError("enough"))
        assert ended(thread)
        assert outcomes == (["returned"] if waits_in == "half_close" else ["enough"])
        for _ in range(2):
            stream.abort()
            stream.close()
        stream.taken(10**6)
        with pytest.raises(StreamBrokenError):
            stream.receive(1)


def test_half_close_and_finish_stall_in_time_while_a_message_is_on_its_way() -> None:
    with server_and_peer() as (stream, _):
        stream.post([bytes(2**17)], 1)
        attempts: list[Callable[[], object]] = [lambda: stream.half_close(0.05), lambda: stream.finish(0.05)]
        for attempt in attempts:
            with pytest.raises(StreamStalledError):
                attempt()


@pytest.mark.parametrize("client", ["idle", "trickles", "floods"])
def test_finished_server_does_not_wait_long_for_its_client(client: str) -> None:
    with server_and_peer(QUICK) as (stream, peer):
        over = threading.Event()

        def go_on() -> None:
            try:
                peer.send(data(grpc_message(bytes(10**5)))[:20])
                while not over.is_set():
                    peer.send(b"\0" * (1 if client == "trickles" else 1000))
                    over.wait(0.05 if client == "trickles" else 0)
            except OSError:
                pass

        going = in_thread(go_on) if client != "idle" else None
        stream.finish(5)
        began_s = time.monotonic()
        stream.run(lambda m: None)
        assert time.monotonic() - began_s < 5
        over.set()
        stream.close()
        assert going is None or ended(going)
        assert any(isinstance(f, GoAwayFrame) for f in peer.frames())


def test_clients_reset_after_the_servers_end_is_no_error() -> None:
    with server_and_peer() as (stream, peer):
        stream.finish(5)
        peer.send(RstStreamFrame(1, error_code=0).serialize())
        stream.run(lambda m: None)


def test_connection_that_broke_before_the_stream_was_asked_for_is_a_typed_error() -> None:
    here, there = tcp_pair()
    there.close()
    stream = MessageStream.request(here, ADDRESS, PATH, LIMITS)
    with pytest.raises(StreamBrokenError):
        stream.receive(5)
    stream.close()

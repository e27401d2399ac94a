"""Connections that want nothing, or more than they may, keep nobody out and take no memory."""

from __future__ import annotations

import contextlib
import queue
import socket
import threading
from collections.abc import Iterator

import pytest

from tests.transport.message_stream.by_hand import (
    PATH,
    comes_true,
    data,
    ended,
    grpc_message,
    in_thread,
    opened,
    server_and_peer,
)
from transport.address import Address
from transport.errors import NoRoomError, StreamBrokenError
from transport.message_stream import ListenerLimits, MessageStream, StreamLimits, StreamListener, open_stream
from transport.message_stream import stream as stream_module
from transport.message_stream.stream import MessageTooLargeError

LIMITS = StreamLimits(2**24, max_opening_bytes=1000)
CONNECTIONS = ListenerLimits(max_streams=4, max_streams_per_address=4, max_new=8, arrivals_per_s=None)


def establish_and_echo(stream: MessageStream) -> None:
    try:
        stream.receive(5)
        stream.establish()
    except NoRoomError as error:
        stream.post([str(error).encode()], 5)
        stream.finish(5)
        stream.wait_for_end()
        return

    def give_back(message: memoryview) -> None:
        stream.taken(len(message))
        stream.post([message], 5)

    stream.run(give_back, lambda: stream.finish(5))


@contextlib.contextmanager
def listening(limits: ListenerLimits = CONNECTIONS) -> Iterator[StreamListener]:
    listener = StreamListener(Address("127.0.0.1", 0), PATH, establish_and_echo, LIMITS, None, limits)
    listener.start()
    try:
        yield listener
    finally:
        listener.stop()
        listener.abort()
        assert listener.join(10)


class Good:
    """A peer that opens a stream, sends a message, and reads all the time."""

    def __init__(self, listener: StreamListener) -> None:
        self.stream = open_stream(
            listener.address, PATH, StreamLimits(2**24), credentials=None, name="board", timeout_s=5
        )
        self.answers: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self._reading = in_thread(self._read)
        self.stream.send([b"opening"])
        with contextlib.suppress(StreamBrokenError):  # it may be refused already
            self.stream.send([b"x" * 5000])

    def _read(self) -> None:
        with contextlib.suppress(StreamBrokenError):
            self.stream.run(self._take)

    def _take(self, message: memoryview) -> None:
        self.stream.taken(len(message))
        self.answers.put(bytes(message))

    def answer(self) -> bytes:
        return self.answers.get(timeout=10)

    def close(self) -> None:
        self.stream.abort()
        assert ended(self._reading)
        self.stream.close()


@pytest.mark.parametrize(
    "sent", [b"", opened(), opened() + data(b"\0\0")], ids=["nothing", "a request", "half an opening"]
)
def test_hundreds_of_connections_that_say_nothing_keep_no_good_peer_out(sent: bytes) -> None:
    with listening() as listener, contextlib.ExitStack() as held:
        first = Good(listener)
        assert first.answer()
        for _ in range(300):
            sock = held.enter_context(socket.create_connection((listener.address.host, listener.address.port)))
            with contextlib.suppress(OSError):  # it may be cut already
                sock.sendall(sent)
        second = Good(listener)
        assert second.answer() == b"x" * 5000
        first.stream.send([b"y"])
        assert first.answer() == b"y"
        assert len(listener._threads) <= 4 + 2 * 8
        first.close()
        second.close()


def test_stream_too_many_is_told_so() -> None:
    with listening() as listener:
        streams = [Good(listener) for _ in range(4)]
        assert all(stream.answer() for stream in streams)
        refused = Good(listener)
        assert b"4 streams are open" in refused.answer()
        refused.close()
        streams.pop().close()
        assert comes_true(lambda: len(listener._threads) == 3)
        again = Good(listener)
        assert len(again.answer()) == 5000
        for stream in [*streams, again]:
            stream.close()


def test_large_message_is_refused_before_the_stream_is_established() -> None:
    with server_and_peer(LIMITS) as (stream, peer):
        peer.send(data(grpc_message(bytes(1001))))
        peer.socket.shutdown(socket.SHUT_WR)
        with pytest.raises(MessageTooLargeError, match="1001 bytes; at most 1000"):
            stream.receive(5)


def test_large_message_that_came_with_the_opening_is_taken_once_the_stream_is_established() -> None:
    """General clients send several messages in one DATA frame, and do not wait for an answer."""
    with server_and_peer(LIMITS) as (stream, peer):
        peer.send(data(grpc_message(b"open") + grpc_message(b"") + grpc_message(bytes(9000)), "END_STREAM", pad=7))
        assert bytes(stream.receive(5) or b"-") == b"open"
        stream.establish()
        found: list[int] = []
        over = threading.Event()

        def take(message: memoryview) -> None:
            stream.taken(len(message))
            found.append(len(message))

        reading = in_thread(lambda: stream.run(take, over.set))
        assert over.wait(5)
        assert found == [0, 9000]
        stream.finish(5)
        peer.close()
        assert ended(reading)


def test_establishing_raises_the_limit_no_further_than_asked_for() -> None:
    with server_and_peer(LIMITS) as (stream, peer):
        stream.establish(5000)
        peer.send(data(grpc_message(bytes(5001))))
        peer.socket.shutdown(socket.SHUT_WR)
        with pytest.raises(MessageTooLargeError):
            stream.receive(5)


@pytest.mark.parametrize("in_one_frame", [True, False])
def test_message_that_comes_byte_by_byte_breaks_the_stream_in_the_end(
    in_one_frame: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream_module, "_MESSAGE_TIMEOUT_S", 0.3)
    over = threading.Event()
    with server_and_peer(StreamLimits(2**20, silence_s=0.6)) as (stream, peer):
        body = grpc_message(bytes(2000))
        if in_one_frame:
            whole = data(body)
            peer.send(whole[:20])
            pieces = [bytes([byte]) for byte in whole[20:]]
        else:
            pieces = [data(bytes([byte])) for byte in body]

        def drip() -> None:
            with contextlib.suppress(OSError):
                for piece in pieces:
                    peer.send(piece)
                    if over.wait(0.01):
                        return

        dripping = in_thread(drip)
        with pytest.raises(StreamBrokenError, match="sends a message too slowly"):
            stream.run(lambda m: None)
        over.set()
        assert ended(dripping)

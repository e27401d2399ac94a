"""The stream of messages over HTTP/2: what a peer sends to a board's port, and what a board sends back to who connected."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

from tests.fuzz.target import Run, Target
from tests.transport.message_stream.by_hand import (
    ADDRESS,
    PATH,
    TRAILERS,
    data,
    grpc_message,
    headers,
    opened,
    raw_frame,
)
from transport.errors import StreamBrokenError
from transport.message_stream import MessageStream, StreamLimits
from transport.message_stream.wire import PREFACE

# The first byte says who the peer is, and whether it has begun as it should.
_RAW_CLIENT, _CLIENT, _RAW_SERVER, _SERVER = range(4)
_OPENED = {_CLIENT: opened(), _SERVER: opened(as_client=False)}
_LIMITS = StreamLimits(max_message_bytes=2**16, silence_s=0.3)
_TIMEOUT_S = 0.5


class _Socket(socket.socket):
    """One of a pair, which has none of TCP's options; a connection per input would use up the machine's ports."""

    def setsockopt(self, level: int, *rest: Any) -> None:
        """Sets an option."""
        if level != socket.IPPROTO_TCP:
            super().setsockopt(level, *rest)


def _seeds() -> Iterator[bytes]:
    message = grpc_message(b"hello")
    yield bytes([_RAW_CLIENT]) + opened() + data(message, "END_STREAM")
    yield bytes([_CLIENT]) + data(message[:3]) + data(message[3:] + grpc_message(b"")) + data(message, pad=7)
    yield (
        bytes([_CLIENT]) + raw_frame(6, b"boardlin", stream_id=0) + raw_frame(8, b"\0\0\1\0") + data(b"", "END_STREAM")
    )
    yield bytes([_CLIENT]) + headers([(":path", "/")], stream_id=3) + raw_frame(0, b"xyz", stream_id=3)
    yield bytes([_CLIENT]) + raw_frame(4, b"\0\4\0\0\xff\xff\0\5\0\1\0\0", stream_id=0) + raw_frame(3, b"\0\0\0\x08")
    yield bytes([_CLIENT]) + raw_frame(1, b"", 0) + raw_frame(9, b"", 4)
    yield bytes([_RAW_SERVER]) + opened(as_client=False) + data(message) + headers(TRAILERS, "END_STREAM")
    yield bytes([_SERVER]) + data(message) + raw_frame(7, b"\0\0\0\1\0\0\0\0bye", stream_id=0)
    yield bytes([_SERVER]) + raw_frame(6, b"hush\0\0\0\1", stream_id=0) + headers([("grpc-status", "8")], "END_STREAM")


def _start(_scratch: Path) -> AbstractContextManager[Run]:
    return nullcontext(_exchange)


def _exchange(given: bytes) -> None:
    peer_kind = given[0] % 4 if given else _RAW_CLIENT
    ours, peer = socket.socketpair()
    with peer:
        peer.sendall(_OPENED.get(peer_kind, b"") + given[1:])
        peer.shutdown(socket.SHUT_WR)
        with _Socket(fileno=ours.detach()) as sock:
            if peer_kind in (_RAW_CLIENT, _CLIENT):
                _serve(sock)
            else:
                _read_all(MessageStream.request(sock, ADDRESS, PATH, _LIMITS))


def _serve(sock: socket.socket) -> None:
    stream, path = MessageStream.accept(sock, _LIMITS, _TIMEOUT_S)
    if path == PATH:
        stream.answer()
    else:
        stream.refuse(12, f"no such method here: {path}")
    _read_all(stream)


def _read_all(stream: MessageStream) -> None:
    def take(message: memoryview) -> None:
        assert len(message) <= _LIMITS.max_message_bytes
        stream.taken(len(message))
        with contextlib.suppress(StreamBrokenError):
            stream.post([bytes(message[:8])], _TIMEOUT_S)

    try:
        stream.run(take, lambda: stream.finish(_TIMEOUT_S))
    finally:
        stream.close()


TARGET = Target("messages", _start, (StreamBrokenError,), _seeds, (PREFACE, b":path", b"grpc-status", b"\0\0\4\x08\0"))

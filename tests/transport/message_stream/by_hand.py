"""A peer that speaks HTTP/2 by hand, so that it can do what no library would; and what a test leaves behind."""

from __future__ import annotations

import contextlib
import gc
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import hpack
import pytest
from hyperframe.frame import DataFrame, Frame, HeadersFrame, SettingsFrame

from transport.address import Address
from transport.errors import StreamBrokenError
from transport.message_stream import MessageStream, StreamLimits
from transport.message_stream.wire import PREFACE

PATH = "/boardline.test/Stream"
REQUEST = [
    (":method", "POST"),
    (":scheme", "http"),
    (":path", PATH),
    (":authority", "test"),
    ("te", "trailers"),
    ("content-type", "application/grpc"),
]
RESPONSE = [(":status", "200"), ("content-type", "application/grpc")]
TRAILERS = [("grpc-status", "0")]
ADDRESS = Address("127.0.0.1", 1)
_Kind = TypeVar("_Kind", bound=Frame)


def grpc_message(data: bytes, *, compressed: int = 0) -> bytes:
    return struct.pack(">BL", compressed, len(data)) + data


def data(chunk: bytes, *flags: str, stream_id: int = 1, pad: int = 0) -> bytes:
    frame = DataFrame(stream_id, data=chunk, flags=[*flags, *(["PADDED"] if pad else [])])
    frame.pad_length = pad
    return frame.serialize()


def headers(pairs: list[tuple[str, str]], *flags: str, stream_id: int = 1) -> bytes:
    """A HEADERS frame that leaves HPACK's tables alone."""
    encoder = hpack.Encoder()
    encoder.header_table_size = 0
    return HeadersFrame(stream_id, data=encoder.encode(pairs), flags=["END_HEADERS", *flags]).serialize()


def raw_frame(kind: int, body: bytes, flags: int = 0, stream_id: int = 1) -> bytes:
    return struct.pack(">HBBBL", len(body) >> 8, len(body) & 0xFF, kind, flags, stream_id) + body


def opened(as_client: bool = True) -> bytes:
    """What this peer sends first."""
    return (PREFACE if as_client else b"") + SettingsFrame(0).serialize() + headers(REQUEST if as_client else RESPONSE)


class Peer:
    """The other end of a socket pair."""

    def __init__(self, sock: socket.socket) -> None:
        self.socket = sock
        sock.settimeout(10)

    def send(self, *pieces: bytes) -> None:
        self.socket.sendall(b"".join(pieces))

    def frames(self) -> Iterator[Frame]:
        """What comes, until the end."""
        while head := self._exactly(9):
            frame, length = Frame.parse_frame_header(memoryview(head))
            frame.parse_body(memoryview(self._exactly(length)))
            yield frame

    def until(self, kind: type[_Kind]) -> _Kind:
        return next(frame for frame in self.frames() if type(frame) is kind)

    def _exactly(self, n_bytes: int) -> bytes:
        found = b""
        while len(found) < n_bytes:
            try:
                got = self.socket.recv(n_bytes - len(found))
            except (ConnectionResetError, BrokenPipeError):
                got = b""
            if not got:
                return b""
            found += got
        return found

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)  # wakes a thread of the test that reads
        self.socket.close()


def tcp_pair(buffer_bytes: int | None = None, segment_bytes: int | None = None) -> tuple[socket.socket, socket.socket]:
    """Two ends of a TCP connection. Args: segment_bytes: as large as packets of a network are; a loopback's are 64 KiB."""
    with socket.socket() as listening, socket.socket() as here:
        for sock in (listening, here):
            if buffer_bytes:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer_bytes)
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, buffer_bytes)
            if segment_bytes:
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, segment_bytes)
        listening.bind(("127.0.0.1", 0))
        listening.listen(1)
        here.connect(listening.getsockname())
        return here.dup(), listening.accept()[0]


LIMITS = StreamLimits(2**24)


@contextmanager
def client_and_peer(
    limits: StreamLimits = LIMITS, buffer_bytes: int | None = None
) -> Iterator[tuple[MessageStream, Peer]]:
    """Our client's end, whose preface the peer has read."""
    here, there = tcp_pair(buffer_bytes)
    peer = Peer(there)
    stream = MessageStream.request(here, ADDRESS, PATH, limits)
    try:
        assert peer._exactly(len(PREFACE)) == PREFACE
        yield stream, peer
    finally:
        stream.close()
        peer.close()


@contextmanager
def server_and_peer(
    limits: StreamLimits = LIMITS, buffer_bytes: int | None = None
) -> Iterator[tuple[MessageStream, Peer]]:
    """Our server's end of a stream that the peer has opened."""
    here, there = tcp_pair(buffer_bytes)
    peer = Peer(there)
    peer.send(opened())
    stream, _ = MessageStream.accept(here, limits, timeout_s=5)
    stream.answer()
    try:
        yield stream, peer
    finally:
        stream.close()
        peer.close()


def in_thread(work: Callable[[], object]) -> threading.Thread:
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread


def breaks_later(work: Callable[[], object]) -> threading.Thread:
    """Work that the end of a stream will end."""

    def run() -> None:
        with pytest.raises(StreamBrokenError):
            work()

    return in_thread(run)


def check_that_it_breaks(sent: bytes, is_client: bool) -> None:
    """What a peer sends is a typed error, soon, for who reads and for who sends."""
    with (client_and_peer if is_client else server_and_peer)() as (stream, peer):
        if is_client:
            peer.send(opened(as_client=False))
        reading = in_thread(lambda: list(peer.frames()))
        try:
            peer.send(sent)
            peer.socket.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # it has hung up already
        began_s = time.monotonic()
        with pytest.raises(StreamBrokenError) as caught:
            stream.run(lambda m: stream.taken(len(m)))
        assert time.monotonic() - began_s < 4
        with pytest.raises(StreamBrokenError):
            stream.send([b"x"])
        assert str(caught.value)
        assert ended(reading)


def ended(thread: threading.Thread, within_s: float = 10.0) -> bool:
    thread.join(within_s)
    return not thread.is_alive()


def comes_true(claim: Callable[[], bool], within_s: float = 10.0, every_s: float = 0.005) -> bool:
    """Whether a claim about another thread comes true in time. Args: every_s: longer where asking costs something."""
    deadline_s = time.monotonic() + within_s
    pause = threading.Event()
    while not claim():
        if time.monotonic() > deadline_s:
            return False
        pause.wait(every_s)
    return True


def open_files() -> int:
    gc.collect()
    return len(list(Path("/proc/self/fd").iterdir()))

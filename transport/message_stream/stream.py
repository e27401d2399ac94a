"""One bidirectional gRPC stream on a connection of its own, in blocking calls: messages of megabytes at a few copies' cost.

Any gRPC client or server is a good peer. Unlike general ones it serves one stream, receives each message straight into
memory that is aligned for tensors, and sends tensors from where they lie (docs/adr/0011).
"""

from __future__ import annotations

import contextlib
import logging
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from transport.address import Address
from transport.errors import StreamBrokenError
from transport.frame import BytesLike
from transport.message_stream import tcp_info, wire
from transport.message_stream.buffers import MessageBuffers
from transport.message_stream.credit import ReceiveCredit, SendCredit
from transport.message_stream.peer_control import PeerControl
from transport.message_stream.reader import SocketReader
from transport.message_stream.silence import MOST_SILENCES, SILENCE_S, PeerSilence
from transport.message_stream.tls import TlsSession
from transport.message_stream.writer import MessageWriter

_log = logging.getLogger(__name__)

# Before the first message tells how large messages are. Small ones fit many times.
_FIRST_WINDOW_BYTES = 2**17
# A message that has begun must end: a peer that feeds it byte by byte would keep memory and a thread. Slower than any link.
_MESSAGE_TIMEOUT_S, _LEAST_BYTES_PER_S = 120.0, 2**14
_LINGER_S = 2.0
_MAX_WAITING = 1000  # small frames that a peer asks for and does not take
_RESOURCE_EXHAUSTED = 8  # gRPC's status code
_SKIPPED_BYTES = 2**12  # at a time


@dataclass(frozen=True)
class StreamLimits:
    """What is taken from a peer.

    Attributes:
        silence_s: without a byte for so long, although it was asked for a sign of life, it is given up.
        max_opening_bytes: the largest message until `MessageStream.establish`; None: as large as any.
    """

    max_message_bytes: int
    silence_s: float = SILENCE_S
    max_opening_bytes: int | None = None


class MessageStream:
    """A stream that is open. `receive` and `run` belong to one thread, `send`, `post` and the rest to any.

    Attributes:
        peer: who the other end is, as its certificate says; None in plaintext.
    """

    def __init__(
        self, sock: socket.socket, limits: StreamLimits, tls: TlsSession | None = None, *, is_client: bool
    ) -> None:
        self.peer = None if tls is None else tls.peer
        self._socket = sock
        self._limits = limits
        self._max_message_bytes = (
            limits.max_message_bytes if limits.max_opening_bytes is None else limits.max_opening_bytes
        )
        self._is_client = is_client
        self._send_credit = SendCredit()
        self._receive_credit = ReceiveCredit(_FIRST_WINDOW_BYTES)
        self._writer = MessageWriter(sock, self._send_credit, tls)
        self._coder = wire.HeaderCoder()
        self._peer = PeerControl(self._coder, self._send_credit, self._writer, self._control, is_client=is_client)
        self._silence = PeerSilence(
            sock, self._writer, self._control, limits.silence_s, lambda: self._peer.silent_until_s
        )
        self._reader = SocketReader(sock, limits.silence_s / MOST_SILENCES, self._silence.heard_nothing, tls)
        self._ending = threading.Lock()
        self._error: StreamBrokenError | None = None
        self._closed = False
        self._peer_done = False  # it sends no more messages
        self._buffers = MessageBuffers()
        self._prefix = bytearray()
        self._message: memoryview | None = None  # the one that comes in
        self._filled = 0
        self._message_due_s = 0.0
        self._data_left: tuple[int, int, int] | None = None  # of a DATA frame whose reading was interrupted
        self._early: deque[memoryview] = deque()  # messages that came together with the one that was waited for
        self._is_finished = False  # by a server
        self._admit: Callable[[], None] | None = None
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    @classmethod
    def request(
        cls, sock: socket.socket, address: Address, path: str, limits: StreamLimits, tls: TlsSession | None = None
    ) -> MessageStream:
        """A client's end, on a connected socket, which it owns from now on. Raises: StreamBrokenError."""
        stream = cls(sock, limits, tls, is_client=True)
        stream._control(
            wire.PREFACE
            + wire.settings(_FIRST_WINDOW_BYTES, is_client=True)
            + wire.window_update(0, wire.MAX_WINDOW_BYTES - wire.DEFAULT_WINDOW_BYTES)
            + stream._coder.frame(wire.request_headers(path, str(address)), ends_stream=False)
        )
        return stream

    @classmethod
    def accept(
        cls, sock: socket.socket, limits: StreamLimits, timeout_s: float, tls: TlsSession | None = None
    ) -> tuple[MessageStream, str]:
        """A server's end, and the path that the client asks for; the socket belongs to it from now on.

        Raises: StreamBrokenError: no HTTP/2 client, or no request in time.
        """
        stream = cls(sock, limits, tls, is_client=False)
        try:
            with stream._reader.within(timeout_s):
                return stream, stream._read_request()
        except StreamBrokenError as error:
            stream.abort(error)
            raise

    def answer(self) -> None:
        """A server takes the request."""
        self._control(self._coder.frame(wire.response_headers(), ends_stream=False))

    def admitted_by(self, admit: Callable[[], None]) -> None:
        """`establish` asks there whether there is room for one stream more."""
        self._admit = admit

    def establish(self, max_message_bytes: int | None = None) -> None:
        """What the peer wants is known and it may have it: from now on larger messages are taken.

        Args: max_message_bytes: up to this size; by default, and at most, up to that of the limits.
        Raises: NoRoomError: too many streams are open.
        """
        if self._admit is not None:
            self._admit()
        most = self._limits.max_message_bytes
        self._max_message_bytes = most if max_message_bytes is None else min(most, max_message_bytes)

    def refuse(self, status: int, why: str) -> None:
        """A server does not take the request: a gRPC status, and the end."""
        headers = [*wire.response_headers(), *wire.trailers(status, why)]
        self._control(self._coder.frame(headers, ends_stream=True) + wire.go_away(wire.NO_ERROR))

    def _end_frames(self, status: int, message: str) -> bytes:
        return self._coder.frame(wire.trailers(status, message), ends_stream=True) + wire.go_away(wire.NO_ERROR)

    def finish(self, timeout_s: float) -> None:
        """A server ends the stream, after what was sent, with gRPC's status OK; the client has a moment to take it.

        Raises: StreamStalledError: the last message is still on its way.
        """
        self._is_finished = True  # first: a client may hang up as soon as it has read the end
        with contextlib.suppress(StreamBrokenError):
            self._writer.send_last(self._end_frames(0, ""), timeout_s)
        self._reader.end_within(_LINGER_S)

    def wait_for_end(self, timeout_s: float = _LINGER_S) -> None:
        """A server has finished: waits until the client is gone, so that it gets what was sent; but not for long."""
        with contextlib.suppress(StreamBrokenError, TimeoutError), self._reader.within(timeout_s):
            self._reader.discard()  # a close with bytes unread would take back what was sent

    def send(self, parts: Sequence[BytesLike]) -> None:
        """Sends one message, given in parts; returns once the system has taken it. Raises: StreamBrokenError."""
        self._writer.send(parts)

    def post(self, parts: Sequence[BytesLike], timeout_s: float, *, copies_rest: bool = False) -> None:
        """Sends one message, given in parts; waits only while the last one is on its way.

        The parts must not change before the next message is sent; with `copies_rest` they may at once: what the system has not
        taken is copied then.
        Raises: StreamBrokenError. StreamStalledError: the last one is still on its way after `timeout_s`.
        """
        self._writer.post(parts, timeout_s, copies_rest=copies_rest)

    @property
    def written_ns(self) -> int:
        """Time that the last message took until the system had all of it."""
        return self._writer.written_ns

    def usage(self) -> tcp_info.LinkUsage | None:
        """How busy the connection was with what was sent; None where the system does not say."""
        return tcp_info.link_usage(self._socket)

    def half_close(self, timeout_s: float) -> None:
        """A client says that no more messages come; the server ends the stream once it has answered.

        Raises: StreamStalledError: the last message is still on its way.
        """
        with contextlib.suppress(StreamBrokenError):
            self._writer.send_last(wire.data_header(0, wire.END_STREAM), timeout_s)

    def receive(self, timeout_s: float) -> memoryview | None:
        """The next message, taken at once; None at the end of the stream.

        Raises: StreamBrokenError: the stream broke, or the peer gives no sign of life. TimeoutError: it did not come in time, and
            may have come in part: nothing can be received after it.
        """
        try:
            with self._reader.within(timeout_s, asks=True):
                while not self._early and not self._peer_done:
                    self._step(self._early.append)
        except EOFError:
            raise self._break(StreamBrokenError("it closed the connection")) from None
        except StreamBrokenError as error:
            raise self._broken_off(error) from None
        if not self._early:
            return None
        message = self._early.popleft()
        self.taken(len(message))
        return message

    def run(self, on_message: Callable[[memoryview], None], on_half_close: Callable[[], None] = lambda: None) -> None:
        """Reads until the stream has ended; a client's ends with the server's trailers, a server's when the client is gone.

        Args:
            on_message: gets each message on this thread and must return at once. Its memory is the caller's, aligned to 64
                bytes; `taken` must be called when the message is off the caller's queue, or the peer will stop.
            on_half_close: a client sends no more messages.
        Raises: StreamBrokenError: the stream broke before its end.
        """
        told = False
        try:
            while self._early:
                on_message(self._early.popleft())
            while not (self._is_client and self._peer_done):
                if self._peer_done and not told:
                    told = True
                    on_half_close()
                self._step(on_message)
        except EOFError:
            if self._is_client or not (told or self._is_finished):
                raise self._break(StreamBrokenError("it closed the connection")) from None
        except TimeoutError:
            if not self._is_finished:
                raise
        except StreamBrokenError as error:
            if not self._is_finished:
                raise self._broken_off(error) from None

    def taken(self, n_bytes: int) -> None:
        """A message of that size has left the application's queue: the peer may send as much again."""
        self._give_back(n_bytes + wire.PREFIX_BYTES)

    def _give_back(self, n_bytes: int) -> None:
        owed = self._receive_credit.give_back(n_bytes)
        if owed and not self._closed:
            self._control(wire.window_update(wire.STREAM_ID, owed))

    def abort(self, error: StreamBrokenError | None = None) -> None:
        """Ends the connection at once; whoever waits on it is told. May be called several times, from any thread."""
        self._break(error or StreamBrokenError("the stream was ended here"))

    def close(self) -> None:
        """Ends the connection and frees it; the thread that reads has returned, or is this one."""
        self.abort()
        self._writer.close()
        self._message = None

    def _break(self, error: StreamBrokenError) -> StreamBrokenError:
        """The error that ended the stream: the first one."""
        with self._ending:
            first = self._error is None
            self._error = self._error or error
            self._closed = True
            if first:
                self._writer.end(error)
                with contextlib.suppress(OSError):
                    self._socket.shutdown(socket.SHUT_RDWR)
            return self._error

    def _broken_off(self, error: StreamBrokenError) -> StreamBrokenError:
        """As `_break`; a general client also gets a status where it is at fault."""
        if isinstance(error, MessageTooLargeError) and not self._is_client:
            self._control(self._end_frames(_RESOURCE_EXHAUSTED, str(error)))
            self.wait_for_end()
        return self._break(error)

    def _control(self, frame: bytes) -> None:
        with contextlib.suppress(StreamBrokenError):  # the reader will see it, and knows why
            self._writer.control(frame)

    def show_life(self) -> None:
        """Says to the peer, unasked, that this end lives: for who does not read at the time, and so hears no question."""
        self._silence.show_life()

    def announce_silence(self, seconds: float) -> None:
        """Tells the peer that this end may be unable to answer for so long, 0: that it is over. Peers of another make ignore it."""
        self._control(wire.ping(wire.announced_silence(seconds), is_answer=False))

    def _read_request(self) -> str:
        try:
            if bytes(self._reader.exactly(len(wire.PREFACE))) != wire.PREFACE:
                raise StreamBrokenError("it does not speak HTTP/2")
            self._control(
                wire.settings(_FIRST_WINDOW_BYTES, is_client=False)
                + wire.window_update(0, wire.MAX_WINDOW_BYTES - wire.DEFAULT_WINDOW_BYTES)
            )
            while self._peer.headers is None:
                self._step(_no_message)
        except EOFError:
            raise StreamBrokenError("it closed the connection before its request") from None
        except TimeoutError:
            raise StreamBrokenError("it sent no request in time") from None
        return wire.requested_path(self._peer.headers)

    def _step(self, on_message: Callable[[memoryview], None]) -> None:
        """Reads one frame, or the rest of one."""
        if self._data_left is not None:
            (length, padding, flags), self._data_left = self._data_left, None
            self._read_messages(length, padding, flags, on_message)
            return
        length, kind, flags, stream_id = wire.split_header(*self._reader.place(wire.FRAME_HEADER_BYTES))
        if self._peer.unfinished is not None and kind != wire.CONTINUATION:
            raise StreamBrokenError("it did not finish its headers")
        if kind == wire.DATA:
            self._read_data(length, flags, stream_id, on_message)
            return
        if kind == wire.WINDOW_UPDATE and length == wire.WINDOW_UPDATE_BYTES:  # often, and so not by hyperframe
            if stream_id in (0, wire.STREAM_ID):
                increment = wire.split_window_update(*self._reader.place(length))
                self._send_credit.give(increment, to_stream=stream_id != 0)
            else:
                self._reader.place(length)
            return
        if length > wire.MAX_CONTROL_BYTES:
            raise StreamBrokenError(f"it sent a control frame of {length} bytes")
        if self._writer.waiting > _MAX_WAITING:
            raise StreamBrokenError("it sends control frames and takes no answers")
        body = memoryview(bytearray(length))
        self._reader.into(body)
        header = wire.frame_header(length, kind, flags, stream_id)
        if self._peer.take(wire.parse(memoryview(header), body), flags):
            self._end_of_messages()

    def _read_data(self, length: int, flags: int, stream_id: int, on_message: Callable[[memoryview], None]) -> None:
        if wire.STREAM_ID < stream_id <= self._peer.last_refused:
            self._skip_data(length)
            return
        if stream_id != wire.STREAM_ID or self._peer.headers is None or self._peer_done:
            raise StreamBrokenError(f"it sent data on stream {stream_id}, which is not open")
        owed = self._receive_credit.spend(length)
        if owed:
            self._control(wire.window_update(0, owed))
        if self._message is None and not flags & wire.PADDED and length >= wire.PREFIX_BYTES and not self._prefix:
            # As a message begins, and for most as it comes: in one frame.
            length -= wire.PREFIX_BYTES
            self._begin_message(*wire.split_prefix(*self._reader.place(wire.PREFIX_BYTES)))
        padding = 0
        if flags & wire.PADDED:
            padding = self._reader.exactly(1)[0]
            length -= 1 + padding
            if length < 0:
                raise StreamBrokenError("it sent a frame with more padding than bytes")
        self._deliver(on_message)  # an empty one is complete at once
        self._read_messages(length, padding, flags, on_message)

    def _read_messages(self, length: int, padding: int, flags: int, on_message: Callable[[memoryview], None]) -> None:
        """What is left of a DATA frame; no more than one message for who waits for one: it may change what is taken."""
        if self._message is not None and time.monotonic() > self._message_due_s:
            raise StreamBrokenError("it sends a message too slowly")
        while length > 0:
            if self._early:
                self._data_left = length, padding, flags
                return
            length -= self._read_piece(length)
            self._deliver(on_message)
        if flags & wire.PADDED:
            self._reader.into(memoryview(bytearray(padding)))
            self._give_back(1 + padding)
        if flags & wire.END_STREAM:
            if self._is_client:
                raise StreamBrokenError("it ended the stream without a gRPC status")
            self._end_of_messages()

    def _deliver(self, on_message: Callable[[memoryview], None]) -> None:
        if self._message is not None and self._filled == len(self._message):
            message, self._message = self._message, None
            on_message(message)

    def _skip_data(self, length: int) -> None:
        """Of a stream that was refused, which its client did not know yet."""
        owed = self._receive_credit.spend(length, of_stream=False)
        if owed:
            self._control(wire.window_update(0, owed))
        while length:
            length -= len(self._reader.exactly(min(length, _SKIPPED_BYTES)))

    def _read_piece(self, length: int) -> int:
        """Reads some of a DATA frame: the rest of a message's prefix, or bytes of the message; how many."""
        if self._message is None:
            wanted = min(length, wire.PREFIX_BYTES - len(self._prefix))
            self._prefix += self._reader.exactly(wanted)
            if len(self._prefix) == wire.PREFIX_BYTES:
                self._begin_message(*wire.split_prefix(self._prefix))
                self._prefix.clear()
            return wanted
        wanted = min(length, len(self._message) - self._filled)
        self._reader.into(self._message[self._filled : self._filled + wanted], self._message_due_s)
        self._filled += wanted
        return wanted

    def _begin_message(self, is_compressed: int, n_bytes: int) -> None:
        if is_compressed:
            raise StreamBrokenError("it sent a compressed message; tensors have codecs of their own")
        if n_bytes > self._max_message_bytes:
            limit = self._max_message_bytes
            raise MessageTooLargeError(f"it sent a message of {n_bytes} bytes; at most {limit} are taken")
        self._message_due_s = time.monotonic() + _MESSAGE_TIMEOUT_S + n_bytes / _LEAST_BYTES_PER_S
        growth = self._receive_credit.expect(n_bytes)
        if growth:
            self._control(wire.window_update(wire.STREAM_ID, growth))
        self._message, self._filled = self._buffers.take(n_bytes), 0

    def _end_of_messages(self) -> None:
        if self._message is not None or self._prefix:
            raise StreamBrokenError("it ended the stream in the midst of a message")
        self._peer_done = True


class MessageTooLargeError(StreamBrokenError):
    """The peer's message is larger than may be."""


def _no_message(_message: memoryview) -> None:
    raise StreamBrokenError("it sent data before its request")

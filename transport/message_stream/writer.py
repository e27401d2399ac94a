"""Writes messages to a socket from where they lie; small frames slip in between the pieces of a big one."""

from __future__ import annotations

import contextlib
import logging
import queue
import select
import socket
import threading
import time
from collections import deque
from collections.abc import Sequence

from transport.errors import StreamBrokenError, StreamStalledError
from transport.frame import BytesLike
from transport.message_stream.credit import SendCredit
from transport.message_stream.tls import TlsSession
from transport.message_stream.wire import PREFIX_BYTES, data_header, message_prefix, message_start

_log = logging.getLogger(__name__)
# A piece of a message that is written in one go: long enough that its call costs nothing beside its bytes.
_PIECE_BYTES = 2**20
_MAX_WHOLE = 256
_MAX_BUFFERS = 512  # of one call; the system takes 1024


class _Outgoing:
    """A message's bytes that are still to be written; of None, nothing."""

    def __init__(self, parts: Sequence[BytesLike] | None) -> None:
        if parts is None:
            self._views, self.left = deque[memoryview](), 0
            return
        views = [memoryview(part).cast("B") for part in parts if len(part)]
        n_bytes = sum(map(len, views))
        self._views = deque([memoryview(message_prefix(n_bytes)), *views])
        self.left = n_bytes + PREFIX_BYTES

    def take(self, n_bytes: int) -> list[memoryview]:
        self.left -= n_bytes
        taken = []
        while n_bytes:
            view = self._views.popleft()
            if len(view) > n_bytes:
                self._views.appendleft(view[n_bytes:])
                view = view[:n_bytes]
            taken.append(view)
            n_bytes -= len(view)
        return taken

    def own(self) -> None:
        """Copies what is left: its owner may change it from now on."""
        self._views = deque(memoryview(bytes(view)) for view in self._views)


_NOTHING = _Outgoing(None)


class MessageWriter:
    """The sending half of a connection. Thread-safe."""

    def __init__(self, sock: socket.socket, credit: SendCredit, tls: TlsSession | None = None) -> None:
        self._socket = sock
        self._tls = tls
        self._credit = credit
        self.max_frame_bytes = 2**14  # until the peer says more
        self._turn = threading.Lock()  # of messages: one's DATA frames follow one another
        self._wire = threading.Lock()  # of frames
        self._control: deque[bytes] = deque()
        self._unsent: list[BytesLike] = []  # what the socket did not take at once; it goes first
        self._late: queue.SimpleQueue[_Outgoing | None] = queue.SimpleQueue()
        self._late_lock = threading.Lock()  # what is put is written, or was put too late
        self._late_thread: threading.Thread | None = None
        self._full: queue.SimpleQueue[bool] = queue.SimpleQueue()
        self._room_thread: threading.Thread | None = None
        self._is_full = False  # that thread waits for room in the socket
        self._is_over = False  # the last frame is written
        self._error: StreamBrokenError | None = None
        self._begun_ns = 0
        self.written_ns = 0  # the last message's time, from its first byte until the socket had taken all

    def control(self, frame: bytes) -> None:
        """Sends a small frame as soon as possible; never waits."""
        self._control.append(frame)
        self.flush()

    @property
    def waiting(self) -> int:
        """Small frames that wait."""
        return len(self._control)

    def has_given_all(self) -> bool:
        """Whether the system has been given all small frames, and what was begun of a message."""
        if not self._wire.acquire(blocking=False):
            return False
        try:
            has_all = not self._control and not self._unsent
        finally:
            self._wire.release()
        self.flush()  # for who found the wire taken meanwhile
        return has_all

    def flush(self) -> None:
        """Sends small frames that wait, or has them sent once the socket takes more."""
        while (self._control or self._unsent) and not self._is_full:
            if not self._wire.acquire(blocking=False):
                return  # who writes now looks again afterwards
            try:
                if not self._push([], waits=False):
                    self._flush_later()
            finally:
                self._wire.release()

    def send(self, parts: Sequence[BytesLike]) -> None:
        """Writes a message; returns once the socket has taken all of it. Raises: StreamBrokenError."""
        with self._turn:
            self._require_open()
            self._begun_ns = time.perf_counter_ns()
            self._write(_Outgoing(parts), waits=True)
            self.written_ns = time.perf_counter_ns() - self._begun_ns

    def post(self, parts: Sequence[BytesLike], timeout_s: float, *, copies_rest: bool = False) -> None:
        """Writes what the socket takes at once and leaves the rest to a thread; waits while an earlier message is in work.

        The parts must not change until the next `send` or `post` returns, unless what is left is copied.
        Raises: StreamBrokenError. StreamStalledError: the earlier message was not taken in time.
        """
        self._take_turn(timeout_s)
        is_late = False
        try:
            self._require_open()
            self._begun_ns = time.perf_counter_ns()
            outgoing = _NOTHING if self._write_whole(parts) else _Outgoing(parts)
            if not self._unsent and self._write(outgoing, waits=False):
                self.written_ns = time.perf_counter_ns() - self._begun_ns
            else:
                if copies_rest:
                    self._own(outgoing)
                self._finish_late(outgoing)
                is_late = True
        finally:
            if not is_late:
                self._turn.release()

    def send_last(self, frame: bytes, timeout_s: float) -> None:
        """Sends the frame that ends this half of the stream, after the messages; those that come later are refused.

        Raises: StreamBrokenError. StreamStalledError: the last message is still on its way.
        """
        self._take_turn(timeout_s)
        try:
            if not self._is_over:
                self._is_over = True
                self.control(frame)
        finally:
            self._turn.release()

    def end(self, error: StreamBrokenError) -> None:
        """Nothing is written any more; threads end, once the socket is shut."""
        self._credit.end(error)
        with self._late_lock:
            self._error = self._error or error
            self._late.put(None)
        self._full.put(False)

    def close(self) -> None:
        """Waits for the threads, which end after `end`, and closes the socket."""
        for thread in (self._late_thread, self._room_thread):
            if thread is not None:
                thread.join()
        with self._wire:  # whoever still writes must not write to what the system opens next under this number
            self._socket.close()

    def _take_turn(self, timeout_s: float) -> None:
        if not self._turn.acquire(timeout=min(timeout_s, threading.TIMEOUT_MAX)):
            raise StreamStalledError(f"it took no message within {timeout_s:g} s")

    def _require_open(self) -> None:
        if self._error is not None:
            raise self._error
        if self._is_over:
            raise StreamBrokenError("this end of the stream has said that no more messages come")

    def _flush_later(self) -> None:
        """The socket is full, and nobody may be about to write to it; the lock of the wire is held."""
        self._is_full = True
        if self._room_thread is None:
            self._room_thread = threading.Thread(target=self._wait_for_room, name="boardline-room", daemon=True)
            self._room_thread.start()
        self._full.put(True)

    def _wait_for_room(self) -> None:
        while self._full.get():
            room = select.poll()
            room.register(self._socket, select.POLLOUT)
            room.poll()
            self._is_full = False
            with contextlib.suppress(StreamBrokenError):  # the reader will see it
                self.flush()

    def _own(self, outgoing: _Outgoing) -> None:
        with self._wire:
            self._unsent = [bytes(view) for view in self._unsent]
        outgoing.own()

    def _finish_late(self, outgoing: _Outgoing) -> None:
        with self._late_lock:
            if self._error is not None:
                raise self._error
            if self._late_thread is None:
                self._late_thread = threading.Thread(target=self._write_late, name="boardline-late", daemon=True)
                self._late_thread.start()
            self._late.put(outgoing)

    def _write_late(self) -> None:
        while (outgoing := self._late.get()) is not None:
            try:
                self._write(outgoing, waits=True)
                self.written_ns = time.perf_counter_ns() - self._begun_ns
            except StreamBrokenError as error:
                self._error = self._error or error
            except Exception as defect:  # nobody may wait for the rest of the message for ever
                _log.exception("a defect ended a stream")
                self._error = self._error or StreamBrokenError(f"a defect here ended it: {defect!r}")
                with contextlib.suppress(OSError):
                    self._socket.shutdown(socket.SHUT_RDWR)
            finally:
                self._turn.release()

    def _write_whole(self, parts: Sequence[BytesLike]) -> bool:
        """Writes a message as one frame, where credit and socket take it at once: the usual case, at the least cost.

        Whether it is on its way: then what the socket has not taken waits in `_unsent`.
        """
        n_bytes = sum(map(len, parts))
        wanted = n_bytes + PREFIX_BYTES
        if (
            wanted > min(_PIECE_BYTES, self.max_frame_bytes)
            or len(parts) > _MAX_WHOLE
            or not self._credit.take_all(wanted)
        ):
            return False
        self._put([message_start(n_bytes), *parts], waits=False)
        return True

    def _write(self, outgoing: _Outgoing, *, waits: bool) -> bool:
        """Whether all is written; False only if it may not wait."""
        while outgoing.left:
            n_bytes = self._credit.take(min(outgoing.left, _PIECE_BYTES, self.max_frame_bytes), waits=waits)
            if not n_bytes:
                return False
            done = self._put([memoryview(data_header(n_bytes, 0)), *outgoing.take(n_bytes)], waits=waits)
            if not done and not waits:
                return False
        return self._put([], waits=waits) if self._unsent else True

    def _put(self, buffers: list[BytesLike], *, waits: bool) -> bool:
        """Sends a frame; and small ones that came meanwhile, whose senders found the wire taken and will not come back."""
        with self._wire:
            done = self._push(buffers, waits=waits)
        if self._control:
            self.flush()
        return done

    def _push(self, buffers: list[BytesLike], *, waits: bool) -> bool:
        """Sends what was left over, waiting small frames and `buffers`; the lock of the wire is held."""
        if self._control:
            buffers = [b"".join(self._take_control()), *buffers]
        if self._tls is not None:
            buffers = self._tls.seal(buffers)  # once: what the socket does not take is kept as it must be written
        pending = [*self._unsent, *buffers] if self._unsent else buffers
        self._unsent = pending
        flags = 0 if waits else socket.MSG_DONTWAIT
        while pending:
            try:
                sent = self._socket.sendmsg(pending[:_MAX_BUFFERS], (), flags)
            except BlockingIOError:
                return False
            except OSError as error:
                self._unsent = []
                raise StreamBrokenError(f"the connection broke: {error.strerror or error}") from error
            pending = _after(pending, sent)
            self._unsent = pending
        return True

    def _take_control(self) -> list[bytes]:
        return [self._control.popleft() for _ in range(len(self._control))]


def _after(buffers: list[BytesLike], n_bytes: int) -> list[BytesLike]:
    """What is left of the buffers once so many bytes are gone."""
    for index, view in enumerate(buffers):
        if n_bytes < len(view):
            return [memoryview(view)[n_bytes:], *buffers[index + 1 :]]
        n_bytes -= len(view)
    return []

"""Writes messages to a socket from where they lie; small frames slip in between the pieces of a big one."""

from __future__ import annotations

import queue
import socket
import threading
import time
from collections import deque
from collections.abc import Sequence

from transport.errors import StreamBrokenError, StreamStalledError
from transport.frame import BytesLike
from transport.message_stream.credit import SendCredit
from transport.message_stream.wire import END_STREAM, PREFIX_BYTES, data_header, message_prefix

# A piece of a message that is written in one go: long enough that its call costs nothing beside its bytes.
_PIECE_BYTES = 2**20
_MAX_BUFFERS = 512  # of one call; the system takes 1024


class _Outgoing:
    """A message's bytes that are still to be written."""

    def __init__(self, parts: Sequence[BytesLike]) -> None:
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


class MessageWriter:
    """The sending half of a connection. Thread-safe."""

    def __init__(self, sock: socket.socket, credit: SendCredit) -> None:
        self._socket = sock
        self._credit = credit
        self.max_frame_bytes = 2**14  # until the peer says more
        self._turn = threading.Lock()  # of messages: one's DATA frames follow one another
        self._wire = threading.Lock()  # of frames
        self._control: deque[bytes] = deque()
        self._unsent: list[memoryview] = []  # what the socket did not take at once; it goes first
        self._late: queue.SimpleQueue[_Outgoing | None] = queue.SimpleQueue()
        self._late_thread: threading.Thread | None = None
        self._error: StreamBrokenError | None = None
        self._begun_ns = 0
        self.written_ns = 0  # the last message's time, from its first byte until the socket had taken all

    def control(self, frame: bytes) -> None:
        """Sends a small frame as soon as possible; never waits."""
        self._control.append(frame)
        self.flush()

    def flush(self) -> None:
        """Tries once to send small frames that wait."""
        while self._control or self._unsent:
            if not self._wire.acquire(blocking=False):
                return  # who writes now looks again afterwards
            try:
                done = self._push([], waits=False)
            finally:
                self._wire.release()
            if not done:
                return

    def send(self, parts: Sequence[BytesLike]) -> None:
        """Writes a message; returns once the socket has taken all of it. Raises: StreamBrokenError."""
        with self._turn:
            self._begun_ns = time.perf_counter_ns()
            self._write(_Outgoing(parts), waits=True)
            self.written_ns = time.perf_counter_ns() - self._begun_ns

    def post(self, parts: Sequence[BytesLike], timeout_s: float) -> None:
        """Writes what the socket takes at once and leaves the rest to a thread; waits while an earlier message is in work.

        The parts must not change until the next `send` or `post` returns.
        Raises: StreamBrokenError. StreamStalledError: the earlier message was not taken in time.
        """
        if not self._turn.acquire(timeout=timeout_s):
            raise StreamStalledError(f"it took no message within {timeout_s:g} s")
        done = True
        try:
            if self._error is not None:
                raise self._error
            outgoing = _Outgoing(parts)
            self._begun_ns = time.perf_counter_ns()
            done = self._write(outgoing, waits=False)
            if done:
                self.written_ns = time.perf_counter_ns() - self._begun_ns
            else:
                self._finish_late(outgoing)
        finally:
            if done:
                self._turn.release()

    def half_close(self) -> None:
        """Says that no more messages come. Raises: StreamBrokenError."""
        self.send_frame(data_header(0, END_STREAM))

    def send_frame(self, frame: bytes) -> None:
        """Sends a small frame once the messages before it are sent. Raises: StreamBrokenError."""
        with self._turn:
            self._put([memoryview(frame)], waits=True)

    def end(self, error: StreamBrokenError) -> None:
        """Nothing is written any more; threads end."""
        self._error = self._error or error
        self._credit.end(error)
        self._late.put(None)

    def join(self) -> None:
        """Waits for the thread, which ends after `end` once the socket is shut."""
        if self._late_thread is not None and self._late_thread is not threading.current_thread():
            self._late_thread.join()

    def _finish_late(self, outgoing: _Outgoing) -> None:
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
            finally:
                self._turn.release()

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

    def _put(self, buffers: list[memoryview], *, waits: bool) -> bool:
        """Sends a frame; and small ones that came meanwhile, whose senders found the wire taken and will not come back."""
        with self._wire:
            done = self._push(buffers, waits=waits)
        if self._control:
            self.flush()
        return done

    def _push(self, buffers: list[memoryview], *, waits: bool) -> bool:
        """Sends what was left over, waiting small frames and `buffers`; the lock of the wire is held."""
        control = b"".join(self._take_control())
        pending = [*self._unsent, *([memoryview(control)] if control else []), *buffers]
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


def _after(buffers: list[memoryview], n_bytes: int) -> list[memoryview]:
    """What is left of the buffers once so many bytes are gone."""
    for index, view in enumerate(buffers):
        if n_bytes < len(view):
            return [view[n_bytes:], *buffers[index + 1 :]]
        n_bytes -= len(view)
    return []

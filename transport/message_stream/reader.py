"""Reads a socket in big pieces straight to where the bytes belong, and notices a peer that has fallen silent."""

from __future__ import annotations

import contextlib
import math
import select
import socket
import struct
import time
from collections.abc import Callable, Iterator

from transport.errors import StreamBrokenError
from transport.message_stream import tcp_info
from transport.message_stream.tls import TlsSession

_AHEAD_BYTES = 2**13
# What it costs to say and to wait so is as much as it saves for fewer bytes (measured from 32 KiB to 1 MiB).
_LATE_BYTES = 2**17
_LATE_PARTS = 4
# Systems of 32 bits whose clocks count in 64 give the option another number, and its value that size.
_TIMEVAL = struct.Struct("qq" if socket.SO_RCVTIMEO == 66 else "ll")


class SocketReader:
    """The receiving half of a connection. One thread reads."""

    def __init__(
        self,
        sock: socket.socket,
        silence_s: float,
        on_silence: Callable[[int], bool],
        tls: TlsSession | None = None,
    ) -> None:
        """Args: on_silence: called when nothing came for `silence_s`, and how many times on end; it raises, or says whether this
        time counts.
        """
        self._socket = sock
        self._source = tls or sock  # either fills memory in the same way
        self._silence_s = silence_s
        self._on_silence = on_silence
        self._deadline_s: float | None = None
        self._asks = True  # a peer that is silent for a sign of life
        self._buffer = memoryview(bytearray(_AHEAD_BYTES))
        self._start = self._stop = 0
        self._timeout_s = 0.0  # of the socket
        self._low_water_bytes = 1  # of the socket
        self._arrival = select.poll()
        self._arrival.register(sock, select.POLLIN)
        # What TLS wants next is not what the caller wants.
        self._can_wake_late = tls is None and sock.family in (socket.AF_INET, socket.AF_INET6)

    @contextlib.contextmanager
    def within(self, seconds: float, *, asks: bool = False) -> Iterator[None]:
        """What is read meanwhile must come within that time, else TimeoutError.

        Args: asks: `on_silence` is called as without a limit.
        """
        self._deadline_s, self._asks = time.monotonic() + seconds, asks
        try:
            yield
        finally:
            self._deadline_s, self._asks = None, True

    def end_within(self, seconds: float) -> None:
        """From now on the peer has that time: what comes later is a TimeoutError. For any thread; a wait for it ends soon after."""
        self._deadline_s, self._asks = time.monotonic() + seconds, False

    def discard(self) -> None:
        """Reads whatever comes until the peer closes. Raises: StreamBrokenError: the connection broke."""
        while self._receive(self._buffer, 0):
            pass

    def exactly(self, n_bytes: int) -> memoryview:
        """The next bytes, few of them; valid until the next read. Raises: as `place`."""
        buffer, start = self.place(n_bytes)
        return buffer[start : start + n_bytes]

    def place(self, n_bytes: int) -> tuple[memoryview, int]:
        """Where the next bytes are, few of them: a buffer, and their start in it; valid until the next read.

        Raises: EOFError: the peer closed before the first of them. StreamBrokenError: in their midst, or the connection broke.
        """
        while self._stop - self._start < n_bytes:
            if self._start:
                kept = bytes(self._buffer[self._start : self._stop])
                self._buffer[: len(kept)] = kept
                self._start, self._stop = 0, len(kept)
            got = self._receive(self._buffer[self._stop :], 0)
            if not got:
                if self._stop == self._start:
                    raise EOFError
                raise StreamBrokenError("it closed the connection in the midst of a frame")
            self._stop += got
        start = self._start
        self._start += n_bytes
        return self._buffer, start

    def into(self, target: memoryview, due_s: float = math.inf) -> None:
        """Fills `target` with the next bytes, by `due_s` of time.monotonic or soon after. Raises: StreamBrokenError."""
        filled = min(len(target), self._stop - self._start)
        target[:filled] = self._buffer[self._start : self._start + filled]
        self._start += filled
        is_large = self._can_wake_late and len(target) - filled >= _LATE_BYTES
        while filled < len(target):
            # Of what the other side may send unread a part: for all of it this end might wait, and the other one for room.
            late_bytes = tcp_info.receive_window_bytes(self._socket) // _LATE_PARTS if is_large else 0
            late_bytes = min(len(target) - filled, late_bytes)
            got = self._receive(target[filled:], socket.MSG_WAITALL, late_bytes)
            if not got:
                raise StreamBrokenError("it closed the connection in the midst of a message")
            filled += got
            if filled < len(target) and time.monotonic() > due_s:
                raise StreamBrokenError("it sends a message too slowly")

    def _receive(self, target: memoryview, flags: int, late_bytes: int = 0) -> int:
        """Args: late_bytes: the system wakes the thread once so much has come, or no more will, and not for each packet."""
        silences = 0
        while True:
            left_s = self._silence_s if self._deadline_s is None else self._deadline_s - time.monotonic()
            if left_s <= 0:
                raise TimeoutError
            is_silence = self._asks and left_s >= self._silence_s
            wait_s = self._silence_s if is_silence else left_s
            try:
                self._wake_after(late_bytes or 1)
                if late_bytes:
                    # Not by `recv`: once that has taken some, it waits for as much again.
                    self._arrival.poll(wait_s * 1e3)
                    return self._source.recv_into(target, 0, socket.MSG_DONTWAIT)
                self._set_timeout(wait_s)
                return self._source.recv_into(target, 0, flags)
            except BlockingIOError:
                if is_silence:
                    silences = silences + 1 if self._on_silence(silences + 1) else 0
            except OSError as error:
                raise StreamBrokenError(f"the connection broke: {error.strerror or error}") from error

    def _wake_after(self, n_bytes: int) -> None:
        if n_bytes != self._low_water_bytes:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, n_bytes)
            self._low_water_bytes = n_bytes

    def _set_timeout(self, seconds: float) -> None:
        """For the system, so that the socket stays a blocking one, which waits for all that is asked of it."""
        if seconds != self._timeout_s:
            whole, part = divmod(max(seconds, 1e-3), 1)
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, _TIMEVAL.pack(int(whole), int(part * 1e6)))
            self._timeout_s = seconds

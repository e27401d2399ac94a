"""Flow control of one stream: how much the peer may still send, and how much may be sent to it (RFC 9113, section 5.2)."""

from __future__ import annotations

import threading

from transport.errors import StreamBrokenError
from transport.message_stream.wire import DEFAULT_WINDOW_BYTES, MAX_WINDOW_BYTES, PREFIX_BYTES

# Three messages wait at most, a fourth is worked on: reading goes on while one is computed, and memory stays bounded.
_MESSAGES_AHEAD = 3


class SendCredit:
    """What the peer takes, on the stream and on the connection. Thread-safe."""

    def __init__(self) -> None:
        self._stream = self._connection = self._initial = DEFAULT_WINDOW_BYTES
        self._error: StreamBrokenError | None = None
        self._changed = threading.Condition(threading.Lock())

    def take(self, wanted: int, *, waits: bool) -> int:
        """Takes up to `wanted` bytes of credit, at least one; 0 if there is none and it may not wait.

        Raises: StreamBrokenError: the stream has ended.
        """
        with self._changed:
            while self._error is None:
                granted = min(wanted, self._stream, self._connection)
                if granted > 0:
                    self._stream -= granted
                    self._connection -= granted
                    return granted
                if not waits:
                    return 0
                self._changed.wait()
            raise StreamBrokenError(str(self._error))

    def take_all(self, wanted: int) -> bool:
        """Takes `wanted` bytes of credit if there are so many. Raises: StreamBrokenError: the stream has ended."""
        with self._changed:
            if self._error is not None:
                raise StreamBrokenError(str(self._error))
            if wanted > self._stream or wanted > self._connection:
                return False
            self._stream -= wanted
            self._connection -= wanted
            return True

    def give(self, increment: int, *, to_stream: bool) -> None:
        """The peer takes more. Raises: StreamBrokenError: beyond what HTTP/2 allows."""
        with self._changed:
            if to_stream:
                self._stream += increment
            else:
                self._connection += increment
            if increment < 1 or max(self._stream, self._connection) > MAX_WINDOW_BYTES:
                raise StreamBrokenError(f"it sent a window update of {increment} bytes")
            self._changed.notify_all()

    def set_initial(self, window_bytes: int) -> None:
        """The peer's setting of how a stream begins; it holds for what was sent before, too."""
        if not 0 <= window_bytes <= MAX_WINDOW_BYTES:
            raise StreamBrokenError(f"it asked for a window of {window_bytes} bytes")
        with self._changed:
            self._stream += window_bytes - self._initial
            self._initial = window_bytes
            if self._stream > MAX_WINDOW_BYTES:
                raise StreamBrokenError(f"its setting raised the window to {self._stream} bytes")
            self._changed.notify_all()

    def end(self, error: StreamBrokenError) -> None:
        """Nothing can be sent any more; who waits is told."""
        with self._changed:
            self._error = self._error or error
            self._changed.notify_all()


class ReceiveCredit:
    """What the peer may send: as much as some messages of the size that it sends. Thread-safe."""

    def __init__(self, window_bytes: int) -> None:
        self._window = window_bytes
        self._left = window_bytes  # of the stream
        self._largest = 0  # message that came, with its prefix
        self._owed = 0  # taken by the application and not yet given back
        self._connection_owed = 0
        self._lock = threading.Lock()

    def spend(self, n_bytes: int, *, of_stream: bool = True) -> int:
        """Counts bytes of DATA that come in; what the connection's window must be raised by, often 0.

        Args: of_stream: False for those of another stream, which is not served.
        Raises: StreamBrokenError: more came than was allowed.
        """
        with self._lock:
            self._left -= n_bytes if of_stream else 0
            if self._left < 0:
                raise StreamBrokenError("it sent more than flow control allows")
            self._connection_owed += n_bytes
            if self._connection_owed < MAX_WINDOW_BYTES // 2:
                return 0
            owed, self._connection_owed = self._connection_owed, 0
            return owed

    def expect(self, message_bytes: int) -> int:
        """A message of that size begins; what the stream's window must be raised by so that it can come, often 0."""
        with self._lock:
            self._largest = max(self._largest, message_bytes + PREFIX_BYTES)
            wanted = min(_MESSAGES_AHEAD * self._largest, MAX_WINDOW_BYTES)
            growth = max(0, wanted - self._window)
            self._window += growth
            self._left += growth
            return growth

    def give_back(self, n_bytes: int) -> int:
        """So many bytes are done with; what the stream's window must be raised by, 0 while little is owed."""
        with self._lock:
            self._owed += n_bytes
            # The largest windows hold no three messages: then half a window may be less than one.
            if self._owed < self._window // 2 and self._left >= self._largest:
                return 0
            owed, self._owed = self._owed, 0
            self._left += owed
            return owed

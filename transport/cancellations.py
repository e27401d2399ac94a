"""Tells a peer which requests nobody waits for any more."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable

from protos.v1.data_plane_pb2 import Header
from transport.errors import StreamBrokenError, StreamStalledError
from transport.frame import frame_parts
from transport.message_stream import MessageStream

# More than any window: what is forgotten is computed in vain, and nothing else.
MOST_REMEMBERED = 1024
# An earlier message that is not taken for so long: whoever sends frames ends the stream for it.
_SEND_TIMEOUT_S = 120.0


class Cancellations:
    """Never holds up who tells it of a request: the thread that reads a stream may. Thread-safe.

    What is told goes at once, or, while an earlier message is on its way, as soon as that is through: then a thread waits, and
    takes along what is told meanwhile. A peer that is gone is not told.
    """

    def __init__(self, stream: MessageStream) -> None:
        self._stream = stream
        self._lock = threading.Lock()
        self._waiting: deque[int] = deque(maxlen=MOST_REMEMBERED)
        self._is_sending = False

    def tell(self, request_ids: Iterable[int]) -> None:
        """Has the peer told that nobody waits for these requests."""
        with self._lock:
            self._waiting.extend(request_ids)
            if self._is_sending:
                return
            self._is_sending = True
        if not self._send(0):
            threading.Thread(target=self._send, args=(_SEND_TIMEOUT_S,), name="boardline-cancel", daemon=True).start()

    def _send(self, timeout_s: float) -> bool:
        """Whether nothing is left to be told; whoever calls it has set `_is_sending`."""
        while request_ids := self._take():
            try:
                self._stream.post(frame_parts(Header(cancelled_ids=request_ids)), timeout_s)
            except StreamBrokenError:
                continue
            except StreamStalledError:
                if not timeout_s:
                    with self._lock:
                        self._waiting.extendleft(reversed(request_ids))
                    return False
        return True

    def _take(self) -> list[int]:
        with self._lock:
            request_ids = list(self._waiting)
            self._waiting.clear()
            self._is_sending = bool(request_ids)
            return request_ids

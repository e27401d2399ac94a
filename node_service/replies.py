"""Replies from behind on their way to the board before, or to the dispatcher: undecoded, in order."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable

from transport.errors import StreamBrokenError, StreamStalledError
from transport.frame import BytesLike
from transport.message_stream import MessageStream

_log = logging.getLogger(__name__)
# An earlier reply that is not taken for so long: its reader has stopped, though its system still answers.
_REPLY_TIMEOUT_S = 120.0


class Replies:
    """Passes replies on without ever holding up the thread that brings them, which must hear the next board's other frames.

    A reply goes at once, unless an earlier one is still on its way: then it waits for a thread. How many wait is bounded by
    the flow control of the stream that they come from.
    """

    def __init__(self, upstream: MessageStream, on_sent: Callable[[int], None]) -> None:
        """Args: on_sent: told the bytes that were received for each reply that is on its way."""
        self._upstream = upstream
        self._on_sent = on_sent
        self._waiting: queue.Queue[tuple[BytesLike, int] | None] = queue.Queue()
        self._thread: threading.Thread | None = None

    def pass_on(self, reply: BytesLike, received_bytes: int | None = None) -> None:
        """Sends a reply after those before it; never waits. One whose stream has ended is dropped: its reader knows why.

        Args: received_bytes: what `on_sent` is told; the reply's own size by default.
        """
        n_bytes = len(reply) if received_bytes is None else received_bytes
        if not self._waiting.unfinished_tasks:
            try:
                self._upstream.post([reply], timeout_s=0)
                self._on_sent(n_bytes)
                return
            except StreamBrokenError:
                return
            except StreamStalledError:
                pass
        self._waiting.put((reply, n_bytes))
        if self._thread is None:
            self._thread = threading.Thread(target=self._send, name="boardline-replies", daemon=True)
            self._thread.start()

    def finish(self) -> None:
        """Waits until all are on their way, or their stream has ended, and ends the thread."""
        if self._thread is not None:
            self._waiting.put(None)
            self._thread.join()

    def _send(self) -> None:
        while (item := self._waiting.get()) is not None:
            reply, n_bytes = item
            try:
                self._upstream.post([reply], _REPLY_TIMEOUT_S)
                self._on_sent(n_bytes)
            except StreamBrokenError:
                pass
            except StreamStalledError as stalled:
                self._upstream.abort(StreamBrokenError(str(stalled)))
            except Exception as defect:  # the replies after this one may not wait for ever
                _log.exception("a defect ended a stream")
                self._upstream.abort(StreamBrokenError(f"a defect here ended it: {defect!r}"))
            finally:
                self._waiting.task_done()

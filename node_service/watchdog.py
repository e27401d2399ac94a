"""Notices a stage that stands still although the board answers, and ends its streams with an error that says so."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable

from node_service.open_streams import OpenStream

_log = logging.getLogger(__name__)

# Twice in the shortest time that counts as a standstill.
_EVERY_S = 0.2
# A look that comes later than this says that the whole process stood still, and nothing of any one stage: frames that were in
# work have that time more.
_LATE_S = 0.1


class Watchdog:
    """Looks at the stages of all open streams, on a thread of its own between `start` and `stop`."""

    def __init__(self, streams: Iterable[OpenStream], clock: Callable[[], float] = time.perf_counter) -> None:
        self._streams = streams
        self._clock = clock
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="boardline-watchdog", daemon=True)

    def start(self) -> None:
        """Begins to look."""
        self._thread.start()

    def stop(self) -> None:
        """Ends the thread; does nothing to one that never ran."""
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join()

    def look(self) -> None:
        """Ends the streams whose stage stands still."""
        for stream in self._streams:
            stalled = stream.standstill()
            if stalled is not None:
                stream.fail(stalled)

    def _excuse(self, since_s: float, until_s: float) -> None:
        for stream in self._streams:
            stream.excuse(since_s, until_s)

    def _run(self) -> None:
        slept_s = self._clock()
        while not self._stopped.wait(_EVERY_S):
            now_s = self._clock()
            try:
                if now_s - slept_s < _EVERY_S + _LATE_S:
                    self.look()
                else:
                    self._excuse(slept_s + _EVERY_S, now_s)
            except Exception:  # without threads to spare, say: the next look may have some
                _log.exception("a defect in looking for stages that stand still")
            slept_s = self._clock()

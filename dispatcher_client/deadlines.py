"""Deadlines of many requests, watched by one thread that wakes for the earliest only."""

from __future__ import annotations

import heapq
import threading
import time
from collections.abc import Callable

from fleet.event_loop import delivers_answers


class Deadlines:
    """Calls `on_expiry` with the key of each deadline that passes before it is cancelled. Thread-safe."""

    def __init__(self, on_expiry: Callable[[int], None]) -> None:
        self._on_expiry = on_expiry
        self._heap: list[tuple[float, int]] = []
        self._live: set[int] = set()
        self._changed = threading.Condition(threading.Lock())
        self._thread: threading.Thread | None = None
        self._is_closed = False

    def set(self, key: int, timeout_s: float) -> None:
        """Starts a deadline; no two that are live share a key."""
        at_s = time.monotonic() + timeout_s
        with self._changed:
            self._live.add(key)
            heapq.heappush(self._heap, (at_s, key))
            if self._thread is None:
                self._thread = threading.Thread(target=self._watch, name="boardline-deadlines", daemon=True)
                self._thread.start()
            elif self._heap[0] == (at_s, key):
                self._changed.notify()

    def cancel(self, key: int) -> None:
        """Ends a deadline; does nothing to one that has passed."""
        with self._changed:
            self._live.discard(key)
            while self._heap and self._heap[0][1] not in self._live:
                heapq.heappop(
                    self._heap
                )  # the thread wakes for the earliest that counted when it fell asleep, and looks again

    def close(self) -> None:
        """Ends the thread; deadlines that are left never pass."""
        with self._changed:
            self._is_closed = True
            self._changed.notify()

    def _watch(self) -> None:
        delivers_answers()
        while True:
            with self._changed:
                if self._is_closed:
                    return
                now_s = time.monotonic()
                if not self._heap or self._heap[0][0] > now_s:
                    self._changed.wait(min(self._heap[0][0] - now_s, threading.TIMEOUT_MAX) if self._heap else None)
                    continue
                _, key = heapq.heappop(self._heap)
                if key not in self._live:
                    continue
                self._live.discard(key)
            self._on_expiry(key)

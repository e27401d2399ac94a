"""When a request's time is over, and a thread that watches many such deadlines and wakes for the earliest only."""

from __future__ import annotations

import heapq
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from fleet.event_loop import delivers_answers


@dataclass(frozen=True)
class Deadline:
    """The end of a time-out, of which every wait for a request takes its part.

    Attributes:
        timeout_s: the time-out as it was asked for, in seconds; at_s: when it is over, by time.monotonic().
    """

    timeout_s: float
    at_s: float

    @classmethod
    def after(cls, timeout_s: float) -> Deadline:
        """The deadline of a time-out that begins now."""
        return cls(timeout_s, time.monotonic() + timeout_s)

    @property
    def left_s(self) -> float:
        """Seconds left, as any wait takes them: 0 when it has passed, and no more than threads can wait."""
        return min(max(0.0, self.at_s - time.monotonic()), threading.TIMEOUT_MAX)


class Deadlines:
    """Calls `on_expiry` with the key of each deadline that passes before it is cancelled. Thread-safe."""

    def __init__(self, on_expiry: Callable[[int], None]) -> None:
        self._on_expiry = on_expiry
        self._heap: list[tuple[float, int]] = []
        self._live: set[int] = set()
        self._changed = threading.Condition(threading.Lock())
        self._thread: threading.Thread | None = None
        self._is_closed = False

    def set(self, key: int, deadline: Deadline) -> None:
        """Watches a deadline; no two that are live share a key."""
        with self._changed:
            self._live.add(key)
            heapq.heappush(self._heap, (deadline.at_s, key))
            if self._thread is None:
                self._thread = threading.Thread(target=self._watch, name="boardline-deadlines", daemon=True)
                self._thread.start()
            elif self._heap[0] == (deadline.at_s, key):
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

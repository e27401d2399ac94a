"""What serves at present: exchanged under those who use it, who keep what they came in with."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar

from dispatcher_client.deadlines import Deadline
from dispatcher_client.errors import late

_T = TypeVar("_T")


class Entrance(Generic[_T]):
    """Thread-safe. Whoever has left something that was exchanged never meets it again."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._current: _T | None = None
        self._inside: dict[int, int] = {}  # how many are inside, by the identity of what they use
        self._is_shut = False

    @property
    def current(self) -> _T | None:
        """What serves at present; None: nothing."""
        return self._current

    @contextmanager
    def enter(self, deadline: Deadline) -> Iterator[_T | None]:
        """Gives what serves at present, which stays in service until the block ends, unless all is closed.

        Raises: ReplyTimeoutError: the entrance was shut until the deadline.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: not self._is_shut, deadline.left_s):
                raise late(deadline.timeout_s, "while a version of the model took another's place")
            current, key = self._current, id(self._current)
            self._inside[key] = self._inside.get(key, 0) + 1
        try:
            yield current
        finally:
            with self._changed:
                self._inside[key] -= 1
                if not self._inside[key]:
                    del self._inside[key]
                    self._changed.notify_all()

    def exchange(self, current: _T | None) -> _T | None:
        """From now on this serves those who come; what served before."""
        with self._changed:
            before, self._current = self._current, current
            return before

    def wait_until_left(self, before: _T) -> None:
        """Waits until nobody uses it any more. They have deadlines, and so has this."""
        with self._changed:
            self._changed.wait_for(lambda: id(before) not in self._inside)

    @contextmanager
    def shut(self) -> Iterator[None]:
        """Has all who come wait until the block ends."""
        with self._changed:
            self._is_shut = True
        try:
            yield
        finally:
            with self._changed:
                self._is_shut = False
                self._changed.notify_all()

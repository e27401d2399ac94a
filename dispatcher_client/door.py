"""Overload is refused at the door, not stored."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

from dispatcher_client.errors import OptionError, OverloadedError


class Door:
    """Lets so many callers wait for room at a time, and refuses those beyond. Thread-safe."""

    def __init__(self, max_waiting: int) -> None:
        """Raises: OptionError: fewer than none."""
        if max_waiting < 0:
            raise OptionError(f"max_waiting is {max_waiting}, expected 0 or more requests.")
        self._max_waiting = max_waiting
        self._lock = threading.Lock()
        self._n_waiting = 0

    @property
    def n_waiting(self) -> int:
        """Callers that wait at present."""
        return self._n_waiting

    @contextlib.contextmanager
    def waiting(self) -> Iterator[None]:
        """While a caller waits. Raises: OverloadedError: as many as may wait do."""
        self.enter()
        try:
            yield
        finally:
            self.leave()

    def enter(self, free_places: int = 0) -> None:
        """A caller begins to wait.

        Args: free_places: for how many of those who wait there is room already.
        Raises: OverloadedError: as many as may wait do.
        """
        with self._lock:
            if self._n_waiting - free_places >= self._max_waiting:
                raise OverloadedError(
                    f"{self._n_waiting} requests wait for room in the windows, and max_waiting is {self._max_waiting}: inputs come "
                    "faster than the boards answer. Submit fewer, use stream(), which takes an input when there is room, or add "
                    "boards."
                )
            self._n_waiting += 1

    def leave(self) -> None:
        """A caller that entered waits no more."""
        with self._lock:
            self._n_waiting -= 1

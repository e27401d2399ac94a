"""The requests that a sender said nobody waits for any more."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from transport.cancellations import MOST_REMEMBERED


class CancelledRequests:
    """Thread-safe. Remembers the last of them only, those whose frames never come again among them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ids: dict[int, None] = {}  # the oldest first

    def __len__(self) -> int:
        return len(self._ids)

    def add(self, request_ids: Sequence[int]) -> None:
        """Remembers requests."""
        with self._lock:
            self._ids.update(dict.fromkeys(request_ids[-MOST_REMEMBERED:]))
            while len(self._ids) > MOST_REMEMBERED:
                del self._ids[next(iter(self._ids))]

    def take(self, request_id: int) -> bool:
        """Whether nobody waits for this request; it is forgotten, since its frame comes once."""
        if not self._ids:  # for every frame, and so without the lock
            return False
        with self._lock:
            if request_id not in self._ids:
                return False
            del self._ids[request_id]
            return True

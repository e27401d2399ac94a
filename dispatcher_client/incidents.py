"""How often what went wrong since the dispatcher was made."""

from __future__ import annotations

import enum
import threading


class Incident(enum.Enum):
    """What can happen to chains and requests."""

    BREAK = "break"  # a chain broke
    FAILOVER = "failover"  # a chain went on over other boards, or over the same ones once they answered again
    RETRY = "retry"  # a way out was tried and failed
    REPLAY = "replay"  # a request was sent again


class Incidents:
    """Counts them, over all versions of the model. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._times = dict.fromkeys(Incident, 0)

    def note(self, incident: Incident) -> None:
        """Takes one into account."""
        with self._lock:
            self._times[incident] += 1

    def times(self, incident: Incident) -> int:
        """How often it has happened."""
        return self._times[incident]

"""The streams that run through this board: all of them hear of a drain, and of a silence to come."""

from __future__ import annotations

import contextlib
import enum
import threading
import time
from collections.abc import Iterator
from typing import Protocol

from node_service.errors import StalledError


class OpenStream(Protocol):
    """What a stream that runs through this board hears, on any thread."""

    @property
    def waiting(self) -> int:
        """Frames that have come and are not worked on."""

    def drain(self) -> None:
        """Reads nothing more; answers what was read, then tells the sender."""

    def announce_silence(self, seconds: float) -> None:
        """Tells the neighbours that this board may answer nothing for so long; 0: that it is over."""

    def standstill(self) -> StalledError | None:
        """What to say if a frame makes no progress in the stage."""

    def excuse(self, since_s: float, until_s: float) -> None:
        """The whole process stood still in that time, by time.perf_counter."""

    def fail(self, error: Exception) -> None:
        """Ends it with an error, and returns at once."""


class Ending(enum.Enum):
    """What became of a stream."""

    FINISHED = "finished"  # its sender ended it, and got all its answers
    FAILED = "failed"  # this board, or one behind it, ended it with an error
    BROKEN = "broken"  # by its sender, who is gone or silent
    REFUSED = "refused"  # it was never open


class OpenStreams:
    """Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._announcing = threading.Lock()  # which never waits: what a stream hears last is what is true
        self._streams: set[OpenStream] = set()
        self._is_draining = False
        self._silent_until_s = 0.0
        self._endings = dict.fromkeys((ending.value for ending in Ending), 0)

    def note_end(self, how: Ending) -> None:
        """Takes a stream into account that is over, or was never open."""
        with self._lock:
            self._endings[how.value] += 1

    @property
    def endings(self) -> dict[str, int]:
        """How many streams there have been since the start, by how they ended."""
        with self._lock:
            return dict(self._endings)

    def __iter__(self) -> Iterator[OpenStream]:
        with self._lock:
            return iter(list(self._streams))

    @contextlib.contextmanager
    def registered(self, stream: OpenStream) -> Iterator[None]:
        """The stream hears of what was said before, too."""
        with self._lock:
            self._streams.add(stream)
            is_draining = self._is_draining
        if is_draining:
            stream.drain()
        with self._announcing:
            silence_s = self._silent_until_s - time.monotonic()
            if silence_s > 0:
                stream.announce_silence(silence_s)
        try:
            yield
        finally:
            with self._lock:
                self._streams.discard(stream)

    def drain(self) -> None:
        """No stream reads anything more; what was read is answered."""
        with self._lock:
            self._is_draining = True
        for stream in self:
            stream.drain()

    def resume(self) -> None:
        """Streams to come are read again."""
        with self._lock:
            self._is_draining = False

    @contextlib.contextmanager
    def silent(self, seconds: float) -> Iterator[None]:
        """Peers hear that this board may answer nothing for up to so long, and when that is over."""
        self._announce(seconds)
        try:
            yield
        finally:
            self._announce(0.0)

    def _announce(self, seconds: float) -> None:
        with self._announcing:
            self._silent_until_s = time.monotonic() + seconds
            for stream in self:
                stream.announce_silence(seconds)

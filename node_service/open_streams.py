"""The streams that run through this board: all of them hear of a drain, and of a silence to come."""

from __future__ import annotations

import contextlib
import enum
import threading
import time
from collections.abc import Iterator

from node_service.stage_stream import StageStream


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
        self._streams: set[StageStream] = set()
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

    def __iter__(self) -> Iterator[StageStream]:
        with self._lock:
            return iter(list(self._streams))

    @contextlib.contextmanager
    def registered(self, stream: StageStream) -> Iterator[None]:
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

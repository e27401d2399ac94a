"""The bounds that every input must keep: typed errors only, a second, some memory."""

from __future__ import annotations

import contextlib
import time

from node_service.process_memory import ProcessMemory
from tests.fuzz.target import Run, Target

MOST_S = 1.0
# What one input may add to the most that the process had before; inputs have kilobytes, and what they declare is bounded, too.
MOST_GROWTH_BYTES = 64 * 2**20
# An input that took too long gets as many more tries: on a machine with other work, any may.
_TRIES = 3


class BoundError(AssertionError):
    """An input broke a bound."""


class Bounded:
    """A target's run, within the bounds. Raises: BoundError, or what the target raised and may not."""

    def __init__(self, target: Target, run: Run) -> None:
        self._run = run
        self._allowed = target.allowed
        # Not ru_maxrss: a program takes that over from the process that started it.
        self._memory = ProcessMemory()
        if not self._memory.reset_peak():  # what the process had before is no room for an input
            raise BoundError("this kernel does not say how much memory an input takes.")

    def __call__(self, data: bytes) -> None:
        before_bytes = self._memory.peak_bytes()
        took_s = self._timed(data)
        grown_bytes = self._memory.peak_bytes() - before_bytes
        if grown_bytes > MOST_GROWTH_BYTES:
            raise BoundError(f"an input of {len(data)} bytes took {grown_bytes} bytes, allowed {MOST_GROWTH_BYTES}.")
        if took_s > MOST_S:
            took_s = min(self._timed(data) for _ in range(_TRIES))
        if took_s > MOST_S:
            raise BoundError(f"an input of {len(data)} bytes took {took_s:.1f} s, allowed {MOST_S:g} s.")

    def _timed(self, data: bytes) -> float:
        begun_s = time.perf_counter()
        with contextlib.suppress(*self._allowed):
            self._run(data)
        return time.perf_counter() - begun_s

"""Judges by the runs before it whether a run of the runtime stands still."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

_NS_PER_S = 1e9
# A run that takes so many times longer than the longest before it is not slow: it stands still. Runs of a board that shares
# its cores vary; the least is what still leaves time to notice within a second.
_STANDSTILL = 4.0
_LEAST_STANDSTILL_S = 0.7
# The first run packs weights and maps files from a slow card: it says little of those to come.
_FIRST_RUN_S = 60.0
_UNUSUAL_RUNS = 2
# Of the longest run's time, after each shorter one: one that took very long, for whatever reason, is forgotten.
_MEMORY = 0.99


class RunWatch:
    """Of one file's runs, one at a time on one thread; it is asked on others."""

    def __init__(self) -> None:
        self._begun_ns = 0  # of the run in work; 0 between runs
        self._runs = 0
        self._longest_ns = 0.0
        self._excused = (0, 0.0, 0.0)  # begun_ns of a run, what it is excused of in ns, and until when in s

    @contextmanager
    def run(self) -> Iterator[None]:
        """One run; one that fails says nothing of those to come."""
        begun_ns = self._begun_ns = time.perf_counter_ns()
        try:
            yield
        finally:
            self._begun_ns = 0
        run_ns = time.perf_counter_ns() - begun_ns - self._excused_ns(begun_ns)
        self._longest_ns = run_ns if self._runs < _UNUSUAL_RUNS else max(run_ns, _MEMORY * self._longest_ns)
        self._runs += 1

    def excuse(self, since_s: float, until_s: float) -> None:
        """Counts the time in which the whole process stood still out of the run that is in work; once, whoever tells."""
        begun_ns, (_, _, told_until_s) = self._begun_ns, self._excused
        since_s = max(since_s, told_until_s, begun_ns / _NS_PER_S)
        if begun_ns and until_s > since_s:
            excused_ns = self._excused_ns(begun_ns) + (until_s - since_s) * _NS_PER_S
            self._excused = (begun_ns, excused_ns, until_s)

    def standstill(self) -> str:
        """What to say of a run that takes several times longer than any before it; empty while all is well."""
        begun_ns = self._begun_ns
        running_s = (time.perf_counter_ns() - begun_ns - self._excused_ns(begun_ns)) / _NS_PER_S if begun_ns else 0.0
        longest_s = self._longest_ns / _NS_PER_S
        limit_s = max(_LEAST_STANDSTILL_S, _STANDSTILL * longest_s) if self._longest_ns else _FIRST_RUN_S
        if running_s < limit_s:
            return ""
        return f"a run takes {running_s:.1f} s and is not done, the longest before it took {longest_s:.2g} s"

    def _excused_ns(self, begun_ns: int) -> float:
        of_ns, excused_ns, _ = self._excused
        return excused_ns if of_ns == begun_ns else 0.0

"""Histograms of times for hot paths: noting an event costs an append, and thousands are sorted into buckets at a time."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np
from prometheus_client.core import HistogramMetricFamily

_NS_PER_S = 1e9
# Powers of two, as Prometheus' native histograms have them at schema 0: 8 us to 32 s.
BOUNDS_S = tuple(2.0**exponent for exponent in range(-17, 6))
FOLD_AT = 2048

Integers = np.ndarray[Any, np.dtype[np.int64]]
K = TypeVar("K", bound=Hashable)


@dataclass
class Totals:
    """What all events of a key add up to.

    Attributes:
        counts: (times, len(BOUNDS_S) + 1) events in each bucket, the last without a bound.
        sums_s: (times,) seconds.
        sums: (sums,) of what is only added up, in the units that it was noted in.
    """

    counts: Integers
    sums_s: np.ndarray[Any, np.dtype[np.float64]]
    sums: Integers
    events: int = 0


class Histograms(Generic[K]):
    """Of several times of each event, and sums of other figures, by key. Thread-safe."""

    def __init__(self, times: int, sums: int = 0) -> None:
        """Args: times, sums: how many of each an event has."""
        self._n_times, self._n_sums = times, sums
        self._lock = threading.Lock()
        self._noted: dict[K, list[Sequence[int]]] = {}
        self._totals: dict[K, Totals] = {}

    def note(self, key: K, figures: Sequence[int]) -> None:
        """Takes an event into account: its times in nanoseconds, then its other figures.

        On the path of every event: an append, and every 2048th time half a millisecond.
        """
        noted = self._noted.get(key)
        if noted is None:
            noted = self._noted.setdefault(key, [])
        noted.append(figures)
        if len(noted) >= FOLD_AT:
            self._fold(key)

    def totals(self) -> Mapping[K, Totals]:
        """All events so far, by key."""
        for key in list(self._noted):
            self._fold(key)
        with self._lock:
            return dict(self._totals)

    def forget(self, is_gone: Callable[[K], bool]) -> None:
        """Drops keys, or what is kept would grow for ever."""
        with self._lock:
            for key in [key for key in {*self._noted, *self._totals} if is_gone(key)]:
                self._noted.pop(key, None)
                self._totals.pop(key, None)

    def _fold(self, key: K) -> None:
        with self._lock:
            noted = self._noted.get(key)
            if not noted:
                return
            taken = noted[:]
            del noted[: len(taken)]  # what another thread has appended meanwhile stays
            table = np.array(taken, np.int64)  # (events, times + sums)
            totals = self._totals.get(key)
            if totals is None:
                totals = self._totals[key] = self._nothing()
            times_s = table[:, : self._n_times] / _NS_PER_S
            for index in range(self._n_times):
                buckets = np.searchsorted(BOUNDS_S, times_s[:, index])
                totals.counts[index] += np.bincount(buckets, minlength=len(BOUNDS_S) + 1)
            totals.sums_s += times_s.sum(axis=0)
            totals.sums += table[:, self._n_times :].sum(axis=0)
            totals.events += len(taken)

    def _nothing(self) -> Totals:
        counts = np.zeros((self._n_times, len(BOUNDS_S) + 1), np.int64)
        return Totals(counts, np.zeros(self._n_times), np.zeros(self._n_sums, np.int64))


def histogram_family(
    name: str, what: str, labels: Sequence[str], rows: Iterable[tuple[Sequence[str], Totals]], time: int = 0
) -> HistogramMetricFamily:
    """One of the times of `Histograms` as Prometheus takes it.

    Args:
        rows: label values, and what the key that they stand for adds up to.
        time: which of the times.
    """
    family = HistogramMetricFamily(name, what, labels=labels)
    for values, totals in rows:
        cumulative = totals.counts[time].cumsum().tolist()
        family.add_metric(values, list(zip([*map(str, BOUNDS_S), "+Inf"], cumulative)), float(totals.sums_s[time]))
    return family

"""Histograms of what frames took, by stage: noting a frame costs an append, and thousands are sorted into buckets at a time."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

_NS_PER_S = 1e9
# Powers of two, as Prometheus' native histograms have them at schema 0: 8 us to 32 s.
BOUNDS_S = tuple(2.0**exponent for exponent in range(-17, 6))
_FOLD_AT = 2048

Integers = np.ndarray[Any, np.dtype[np.int64]]


class StageKey(NamedTuple):
    """Whose frames."""

    deployment_id: str
    stage_index: int


class FrameFigures(NamedTuple):
    """One frame in a stage: times in nanoseconds, then what is only added up. `total_ns` is from its arrival until it left."""

    wait_ns: int
    decode_ns: int
    compute_ns: int
    encode_ns: int
    send_ns: int
    total_ns: int
    invoke_cpu_ns: int
    received_bytes: int
    sent_bytes: int
    sent_raw_bytes: int


# Those of FrameFigures that have a histogram, by the name that they have there.
TIMES = ("wait", "decode", "compute", "encode", "send", "total")


@dataclass
class StageStatistics:
    """What all frames of a stage add up to.

    Attributes:
        counts: (len(TIMES), len(BOUNDS_S) + 1) frames in each bucket, the last without a bound.
        sums_s: (len(TIMES),) seconds.
    """

    counts: Integers = field(default_factory=lambda: np.zeros((len(TIMES), len(BOUNDS_S) + 1), np.int64))
    sums_s: np.ndarray[Any, np.dtype[np.float64]] = field(default_factory=lambda: np.zeros(len(TIMES)))
    frames: int = 0
    invoke_cpu_s: float = 0.0
    received_bytes: int = 0
    sent_bytes: int = 0
    sent_raw_bytes: int = 0


class FrameStatistics:
    """Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._noted: dict[StageKey, list[FrameFigures]] = {}
        self._stages: dict[StageKey, StageStatistics] = {}

    def note(self, key: StageKey, figures: FrameFigures) -> None:
        """Takes a frame into account. On the path of every frame: an append, and every 2048th time half a millisecond."""
        noted = self._noted.get(key)
        if noted is None:
            noted = self._noted.setdefault(key, [])
        noted.append(figures)
        if len(noted) >= _FOLD_AT:
            self._fold(key)

    def stages(self) -> Mapping[StageKey, StageStatistics]:
        """All frames so far, by stage."""
        for key in list(self._noted):
            self._fold(key)
        with self._lock:
            return dict(self._stages)

    def forget(self, deployment_id: str) -> None:
        """Drops the stages of a deployment that is gone, or what is kept would grow with every version."""
        with self._lock:
            for key in [key for key in {*self._noted, *self._stages} if key.deployment_id == deployment_id]:
                self._noted.pop(key, None)
                self._stages.pop(key, None)

    def _fold(self, key: StageKey) -> None:
        with self._lock:
            noted = self._noted.get(key)
            if not noted:
                return
            taken = noted[:]
            del noted[: len(taken)]  # what another thread has appended meanwhile stays
            table = np.array(taken, np.int64)  # (frames, fields)
            stage = self._stages.setdefault(key, StageStatistics())
            times_s = table[:, : len(TIMES)] / _NS_PER_S
            for index in range(len(TIMES)):
                buckets = np.searchsorted(BOUNDS_S, times_s[:, index])
                stage.counts[index] += np.bincount(buckets, minlength=len(BOUNDS_S) + 1)
            stage.sums_s += times_s.sum(axis=0)
            stage.frames += len(taken)
            sums = table[:, len(TIMES) :].sum(axis=0).tolist()
            stage.invoke_cpu_s += sums[0] / _NS_PER_S
            stage.received_bytes += sums[1]
            stage.sent_bytes += sums[2]
            stage.sent_raw_bytes += sums[3]

"""What became of requests, how long answers took, and what the stages of each chain take at the least."""

from __future__ import annotations

import enum
import threading
import time
from collections import deque
from collections.abc import Collection, Mapping
from concurrent.futures import Future
from typing import Any, NamedTuple

import numpy as np

from dispatcher_client.chain import ReplyReport
from dispatcher_client.errors import ReplyTimeoutError
from fleet.errors import FrameDroppedError
from monitoring.histograms import Histograms, Totals

_NS_PER_S = 1e9
# Answers of which a chain's bound is told. The least of a few frames would be a freak, their middle is stretched by load.
_KEPT = 512
_FAST_PERCENTILE = 10


class Outcome(enum.Enum):
    """What became of a request."""

    ANSWERED = "answered"
    FAILED = "failed"
    TIMED_OUT = "timed_out"
    CANCELLED = "cancelled"
    REFUSED = "refused"  # at the door: too many waited


class ChainKey(NamedTuple):
    """A chain of one version."""

    deployment_id: str
    chain_index: int


class RequestStatistics:
    """Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._outcomes = dict.fromkeys(Outcome, 0)
        self._requests: Histograms[str] = Histograms(1)
        self._chains: Histograms[ChainKey] = Histograms(1)
        self._steps_ns: dict[ChainKey, deque[tuple[int, ...]]] = {}

    def follow(self, answer: Future[Any], begun_s: float) -> None:
        """Notes how a request ends, which began at `begun_s` by time.perf_counter."""
        answer.add_done_callback(lambda done: self._ended(done, begun_s))

    def refused(self) -> None:
        """A request was not taken."""
        self._count(Outcome.REFUSED)

    def hear(self, report: ReplyReport) -> None:
        """Takes an answer into account."""
        key = ChainKey(report.deployment_id, report.chain_index)
        self._chains.note(key, (int(report.latency_s * _NS_PER_S),))
        steps = self._steps_ns.get(key)
        if steps is None:
            steps = self._steps_ns.setdefault(key, deque(maxlen=_KEPT))
        steps.append(
            tuple(max(t.decode_ns + t.compute_ns + t.pieces_wait_ns + t.encode_ns, t.send_ns) for t in report.passed)
        )

    def outcomes(self) -> Mapping[Outcome, int]:
        """Requests that have ended, by how."""
        with self._lock:
            return dict(self._outcomes)

    def requests(self) -> Totals | None:
        """Of answered requests, from the call to the answer; None before the first."""
        return self._requests.totals().get("")

    def chains(self, current: Collection[str]) -> Mapping[ChainKey, Totals]:
        """From sending to the answer, by chain; those of versions that are not `current` are forgotten."""
        self._chains.forget(lambda key: key.deployment_id not in current)
        for key in [key for key in list(self._steps_ns) if key.deployment_id not in current]:
            self._steps_ns.pop(key, None)
        return self._chains.totals()

    def slowest_step_s(self, key: ChainKey) -> float | None:
        """What the chain's slowest stage or link takes for a frame: the tenth percentile of its recent ones; None without any."""
        kept = self._steps_ns.get(key)
        steps = list(kept) if kept else []
        if not steps:
            return None
        length = len(steps[-1])  # after a recovery a chain may have other stages
        table = np.array([step for step in steps if len(step) == length])
        return float(np.percentile(table, _FAST_PERCENTILE, axis=0).max()) / _NS_PER_S or None

    def _ended(self, answer: Future[Any], begun_s: float) -> None:
        outcome = _outcome(answer)
        if outcome is Outcome.ANSWERED:
            self._requests.note("", (int((time.perf_counter() - begun_s) * _NS_PER_S),))
        self._count(outcome)

    def _count(self, outcome: Outcome) -> None:
        with self._lock:
            self._outcomes[outcome] += 1


def _outcome(answer: Future[Any]) -> Outcome:
    if answer.cancelled():
        return Outcome.CANCELLED
    error = answer.exception()
    if error is None:
        return Outcome.ANSWERED
    return Outcome.TIMED_OUT if isinstance(error, (ReplyTimeoutError, FrameDroppedError)) else Outcome.FAILED

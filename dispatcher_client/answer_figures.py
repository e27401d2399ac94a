"""What a run of answers says of a chain: how fast it answers, how long a frame is worked on, waits, and is on the way."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Answered:
    """One answered request.

    `wait_s`: in front of stages; `coding_s`: decoding and encoding; both of all stages together. `compute_s`: by stage. What is
    left of the latency was spent on the way: in links, in buffers, in the dispatcher.
    """

    at_s: float
    latency_s: float
    wait_s: float
    coding_s: float
    compute_s: Sequence[float]

    @property
    def sent_at_s(self) -> float:
        """When the request was sent."""
        return self.at_s - self.latency_s

    @property
    def way_s(self) -> float:
        """Time that no stage accounts for."""
        return max(0.0, self.latency_s - self.wait_s - self.coding_s - sum(self.compute_s))


@dataclass(frozen=True)
class AnswerFigures:
    """Means over some answers.

    `spread`: how much the chain's stages vary from frame to frame, in times between two answers:

        sqrt(sum over stages i of (rate * deviation[i])^2)
    """

    count: int
    rate_per_s: float
    in_flight: float
    wait_s: float
    way_s: float
    coding_s: float
    compute_s: tuple[float, ...]
    spread: float

    @property
    def work_s(self) -> float:
        """Of all stages together."""
        return self.coding_s + sum(self.compute_s)

    @property
    def slowest_s(self) -> float:
        """The longest compute of a stage: it takes no two frames at once, while coding may overlap with it."""
        return max(self.compute_s)


class AnswerSums:
    """Adds up answers, from a moment at which one came, or from the first on."""

    def __init__(self, begin_s: float | None) -> None:
        self._begin_s = begin_s
        self._end_s = 0.0
        self.count = 0
        self._latency_s = self._wait_s = self._way_s = self._coding_s = 0.0
        self._compute_s: list[float] = []
        self._squares: list[float] = []

    def add(self, answered: Answered) -> None:
        """Counts an answer in; the first one only begins, if no begin was given."""
        if self._begin_s is None:
            self._begin_s = answered.at_s
            return
        if not self.count:
            self._compute_s = [0.0] * len(answered.compute_s)
            self._squares = [0.0] * len(answered.compute_s)
        self.count += 1
        self._end_s = answered.at_s
        self._latency_s += answered.latency_s
        self._wait_s += answered.wait_s
        self._way_s += answered.way_s
        self._coding_s += answered.coding_s
        for stage_index, compute_s in enumerate(answered.compute_s):
            self._compute_s[stage_index] += compute_s
            self._squares[stage_index] += compute_s * compute_s

    def figures(self) -> AnswerFigures | None:
        """The means; None while there are none, or no time has passed."""
        elapsed_s = self._end_s - (self._begin_s or 0.0)
        if not self.count or elapsed_s <= 0:
            return None
        n = self.count
        rate_per_s = n / elapsed_s
        compute_s = tuple(total_s / n for total_s in self._compute_s)
        variance_s2 = sum(max(0.0, square / n - mean_s**2) for square, mean_s in zip(self._squares, compute_s))
        return AnswerFigures(
            count=n,
            rate_per_s=rate_per_s,
            in_flight=rate_per_s * self._latency_s / n,  # Little's law
            wait_s=self._wait_s / n,
            way_s=self._way_s / n,
            coding_s=self._coding_s / n,
            compute_s=compute_s,
            spread=rate_per_s * math.sqrt(variance_s2),
        )

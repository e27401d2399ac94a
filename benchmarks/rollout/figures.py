"""What changes of version cost, from when answers came and when each change began and ended. Times are of one clock."""

from __future__ import annotations

import statistics
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

# A dip is looked for in windows of this length.
WINDOW_S = 1.0
# Answers just outside a change tell of the gap at its ends.
_MARGIN_S = 0.05

Span = tuple[float, float]


@dataclass(frozen=True)
class Change:
    """One change of version.

    Attributes:
        longest_gap_s: without an answer.
        dip_worst_second: share of the usual answers that is missing in the worst second that touches the change.
        dip_during: the same over the change's own time.
        usual_dip_worst_second: as the first, of a time as long without a change, just before: what chance alone does.
    """

    seconds: float
    rate_during: float
    longest_gap_s: float
    dip_worst_second: float
    dip_during: float
    usual_dip_worst_second: float


class Answers:
    """When answers came, sorted."""

    def __init__(self, at_s: Sequence[float]) -> None:
        self._at_s = sorted(at_s)

    def count(self, after_s: float, until_s: float) -> int:
        """Answers after the one moment, and up to the other."""
        return bisect_right(self._at_s, until_s) - bisect_right(self._at_s, after_s)

    def starts(self, first_s: float, last_s: float) -> list[float]:
        """Where a sliding window that begins between these moments has fewest answers: at `first_s`, or just after an answer."""
        between = self._at_s[bisect_left(self._at_s, first_s) : bisect_right(self._at_s, last_s)]
        return [first_s, *between]

    def least(self, first_s: float, last_s: float) -> int:
        """Answers in the worst of the windows that begin between these moments."""
        return min(self.count(start_s, start_s + WINDOW_S) for start_s in self.starts(first_s, last_s))

    def longest_gap_s(self, begun_s: float, ended_s: float) -> float:
        """Between two answers, of which one at least came between these moments; all of the time if there are none."""
        first = max(0, bisect_left(self._at_s, begun_s) - 1)
        near = self._at_s[first : bisect_right(self._at_s, ended_s) + 1]
        return max((later - sooner for sooner, later in zip(near, near[1:])), default=ended_s - begun_s)


def usual_per_window(answers: Answers, quiet: Sequence[Span]) -> float:
    """Median of the answers in windows that lie in times without changes. Args: quiet: each longer than a window."""
    return statistics.median(
        answers.count(start_s, start_s + WINDOW_S)
        for begun_s, ended_s in quiet
        for start_s in answers.starts(begun_s, ended_s - WINDOW_S)
    )


def measure_change(answers: Answers, span: Span, before: Span, usual: float) -> Change:
    """Args: before: the quiet time in front of it. usual: answers per window without changes, more than 0."""
    begun_s, ended_s = span
    seconds = ended_s - begun_s
    rate_during = answers.count(begun_s, ended_s) / seconds
    # As many windows as touch the change, or as there are.
    last_s = before[1] - WINDOW_S
    first_s = max(before[0], last_s - WINDOW_S - seconds)
    return Change(
        seconds=seconds,
        rate_during=rate_during,
        longest_gap_s=answers.longest_gap_s(begun_s - _MARGIN_S, ended_s + _MARGIN_S),
        dip_worst_second=1 - answers.least(begun_s - WINDOW_S, ended_s) / usual,
        dip_during=1 - rate_during * WINDOW_S / usual,
        usual_dip_worst_second=1 - answers.least(first_s, last_s) / usual,
    )

"""Times a piece of work again and again until the mean is known well enough, or time is up."""

from __future__ import annotations

import statistics
import time
from array import array
from collections.abc import Callable
from dataclasses import dataclass

from node_service.confidence import ENOUGH_BATCHES, estimate_mean

WARM_UP_SHARE = 0.2
# Governors look at the load every 10 to 100 ms and raise the clock only then.
_WARM_UP_S = 0.1
# Two runs this close are taken for settled.
_SETTLED_FACTOR = 1.1
# A tiny partition is timed over at least two periods of a CPU quota, which are 100 ms unless set otherwise.
_LEAST_TIMED_S = 0.2
_LEAST_RUNS = 5
# Bounds the memory that the times take; for runs so short, what is still unknown then is other work on the board.
_MOST_RUNS = 200_000
# Between two looks at the interval the number of runs grows by this factor: looking after each would stop at a lucky moment.
_GROWTH = 1.25


@dataclass(frozen=True)
class RunTimes:
    """Times of one run, named as in `boardline.v1.Profile`. `run_cpu_s` is processor time over all threads."""

    runs: int
    run_s: float
    run_half_width_s: float
    median_run_s: float
    run_cpu_s: float


@dataclass(frozen=True)
class Clocks:
    """Where time comes from, so that tests can pretend."""

    wall_s: Callable[[], float] = time.perf_counter
    cpu_s: Callable[[], float] = time.process_time


def warm_up(run: Callable[[], object], budget_s: float, clocks: Clocks) -> float:
    """Runs until the time of a run has settled, at least once; how long the last run took.

    Ends after a fifth of the budget in any case.
    """
    begun_s = clocks.wall_s()
    previous_s = 0.0
    while True:
        before_s = clocks.wall_s()
        run()
        now_s = clocks.wall_s()
        last_s = now_s - before_s
        has_settled = max(last_s, previous_s) <= _SETTLED_FACTOR * min(last_s, previous_s)
        spent_s = now_s - begun_s
        if spent_s >= WARM_UP_SHARE * budget_s or (has_settled and spent_s >= _WARM_UP_S):
            return last_s
        previous_s = last_s


def time_runs(run: Callable[[], object], last_s: float, confidence: float, budget_s: float, clocks: Clocks) -> RunTimes:
    """Times runs until the 95 % confidence interval of their mean is within `confidence` of it, or the budget is spent.

    At least five runs are made, unless one takes longer than the budget.
    Args:
        last_s: what the last run of the warm-up took.
    """
    least_runs = _LEAST_RUNS if last_s <= budget_s else 1
    times_s = array("d")
    next_look = ENOUGH_BATCHES
    looking_cpu_s = 0.0
    begun_cpu_s, begun_s = clocks.cpu_s(), clocks.wall_s()
    while True:
        before_s = clocks.wall_s()
        run()
        now_s = clocks.wall_s()
        times_s.append(now_s - before_s)
        n, spent_s = len(times_s), now_s - begun_s
        if (n >= least_runs and spent_s >= budget_s) or n == _MOST_RUNS:
            break
        if n >= next_look and spent_s >= _LEAST_TIMED_S:
            looked_cpu_s = clocks.cpu_s()
            if estimate_mean(times_s).is_within(confidence):
                break
            next_look = int(n * _GROWTH) + 1
            looking_cpu_s += clocks.cpu_s() - looked_cpu_s
    cpu_s = clocks.cpu_s() - begun_cpu_s - looking_cpu_s
    estimate = estimate_mean(times_s)
    median_s = statistics.median(times_s)
    return RunTimes(len(times_s), estimate.mean, estimate.half_width, median_s, cpu_s / len(times_s))

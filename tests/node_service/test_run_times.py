"""Timing: how long it warms up, when it stops, and what it makes of one very long run."""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import chain, repeat

import pytest

from node_service.run_times import Clocks, time_runs, warm_up


class PretendedRuns:
    """Runs that take the given times on a clock that nobody waits for; the processor is busy on two threads."""

    def __init__(self, times_s: Iterator[float]) -> None:
        self._times_s = times_s
        self.now_s = 0.0
        self.count = 0

    def __call__(self) -> None:
        self.now_s += next(self._times_s)
        self.count += 1

    @property
    def clocks(self) -> Clocks:
        return Clocks(wall_s=lambda: self.now_s, cpu_s=lambda: 2 * self.now_s)


def noisy(mean_s: float, share: float) -> Iterator[float]:
    """Two times in turn, so that batches of an even number are all alike, and ten single runs are not."""
    while True:
        yield mean_s * (1 - share)
        yield mean_s * (1 + share)


def random_times() -> Iterator[float]:
    rng = random.Random(1)
    while True:
        yield rng.uniform(1e-6, 4e-6)


def test_warm_up_waits_until_two_runs_take_the_same_time() -> None:
    run = PretendedRuns(chain([1.0, 0.5, 0.3], repeat(0.2)))
    assert warm_up(run, 100, run.clocks) == pytest.approx(0.2)
    assert run.count == 5


def test_warm_up_goes_on_until_the_clock_has_risen_when_runs_are_short() -> None:
    run = PretendedRuns(repeat(0.001))
    warm_up(run, 100, run.clocks)
    assert run.now_s == pytest.approx(0.1, abs=0.002)


def test_warm_up_ends_with_its_share_of_the_budget_when_nothing_settles() -> None:
    run = PretendedRuns(noisy(0.1, 0.5))
    warm_up(run, 5, run.clocks)
    assert run.now_s == pytest.approx(1, abs=0.2)


def test_timing_stops_when_the_mean_is_known_well_enough() -> None:
    run = PretendedRuns(repeat(0.1))
    times = time_runs(run, 0.1, 0.02, 100, run.clocks)
    assert times.runs == 10
    assert (times.run_s, times.median_run_s) == pytest.approx((0.1, 0.1))
    assert times.run_half_width_s == pytest.approx(0)
    assert times.run_cpu_s == pytest.approx(0.2)


def test_timing_goes_on_while_the_mean_is_not_known_well_enough() -> None:
    run = PretendedRuns(noisy(0.1, 0.3))
    times = time_runs(run, 0.1, 0.02, 100, run.clocks)
    assert 10 < times.runs < 100
    assert times.run_half_width_s <= 0.02 * times.run_s


def test_timing_covers_some_time_when_runs_are_short() -> None:
    run = PretendedRuns(repeat(1e-5))
    assert time_runs(run, 1e-5, 0.5, 100, run.clocks).runs == pytest.approx(20_000, rel=0.01)


def test_timing_makes_five_runs_when_they_exceed_the_budget_together() -> None:
    run = PretendedRuns(repeat(3.0))
    assert time_runs(run, 3.0, 0.02, 5, run.clocks).runs == 5


def test_timing_makes_one_run_when_it_exceeds_the_budget_alone() -> None:
    run = PretendedRuns(repeat(30.0))
    times = time_runs(run, 30.0, 0.02, 5, run.clocks)
    assert times.runs == 1
    assert times.run_s == times.run_half_width_s == 30.0


def test_timing_ends_with_the_budget_when_the_wish_cannot_be_met() -> None:
    run = PretendedRuns(chain.from_iterable([1.0 + (i % 7) * 0.3] for i in range(10**6)))
    times = time_runs(run, 1.0, 1e-6, 50, run.clocks)
    assert run.now_s == pytest.approx(50, abs=3)
    assert times.run_half_width_s > 1e-6 * times.run_s


def test_timing_is_bounded_when_runs_are_tiny_and_the_budget_is_large() -> None:
    run = PretendedRuns(random_times())
    assert time_runs(run, 1e-6, 1e-12, 600, run.clocks).runs == 200_000

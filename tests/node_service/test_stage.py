"""When a run stands still: by the runs before it, and without the time in which the whole process stood still."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from node_service.stage import Stage
from protos.v1.control_plane_pb2 import LoadStageRequest

S = 10**9


class TimedStage:
    """A stage whose runs take what a test says, on a clock of its own; `during` is asked in the midst of a run."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now_ns = 100 * S
        self.during: Callable[[], None] = lambda: None
        self.run_s = 0.01
        monkeypatch.setattr(time, "perf_counter_ns", lambda: self.now_ns)
        runner: Any = SimpleNamespace(run=self._run, invoke_cpu_ns=0)
        self.stage = Stage(LoadStageRequest(stage_index=1), 0, runner)

    def _run(self, values: object) -> list[Any]:
        self.now_ns += int(self.run_s * S)
        self.during()
        return []

    def runs(self, *seconds: float) -> None:
        for self.run_s in seconds:
            self.stage.process([], self.now_ns)

    def stalls_after(self, run_s: float, told: Callable[[], None] = lambda: None) -> bool:
        """Whether a run counts as one that stands still once it has taken so long."""
        found = []

        def look() -> None:
            told()
            found.append(self.stage.standstill() is not None)

        self.during = look
        self.runs(run_s)
        self.during = lambda: None
        return found[0]


@pytest.fixture
def timed(monkeypatch: pytest.MonkeyPatch) -> TimedStage:
    return TimedStage(monkeypatch)


def test_stage_between_runs_never_stands_still(timed: TimedStage) -> None:
    timed.runs(0.1)
    timed.now_ns += 1000 * S
    assert timed.stage.standstill() is None
    timed.stage.excuse(0.0, 1000.0)
    assert timed.stage.standstill() is None


def test_run_stands_still_when_it_takes_four_times_longer_than_any_before(timed: TimedStage) -> None:
    timed.runs(1, 0.5, 1)
    assert not timed.stalls_after(3.9)
    timed.runs(*[1.0] * 200)
    assert timed.stalls_after(4.5)


def test_first_run_has_a_minute_and_says_nothing_of_those_to_come(timed: TimedStage) -> None:
    assert not timed.stalls_after(50)
    timed.runs(0.01)
    assert timed.stalls_after(0.8)


def test_one_very_long_run_is_forgotten(timed: TimedStage) -> None:
    timed.runs(0.01, 0.01, 30)
    assert not timed.stalls_after(1)
    timed.runs(*[0.01] * 800)
    assert timed.stalls_after(1)


def test_time_in_which_the_process_stood_still_is_not_the_runs(timed: TimedStage) -> None:
    timed.runs(0.01, 0.01)
    start_s = timed.now_ns / S

    def told_by_two_streams() -> None:
        for _ in range(2):
            timed.stage.excuse(start_s + 0.01, start_s + 9.99)

    assert not timed.stalls_after(10, told_by_two_streams)
    assert timed.stalls_after(0.8), "and is not among the longest"
    start_s = timed.now_ns / S
    assert timed.stalls_after(14, lambda: timed.stage.excuse(start_s - 5, start_s + 9)), "five seconds are left"

"""Simulated chains to judge windows by, and how: throughput, and what load adds to the latency."""

from __future__ import annotations

import functools
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from dispatcher_client.answer_figures import Answered
from dispatcher_client.window_control import WindowControl
from tests.dispatcher_client.pipeline_simulation import (
    FixedWindow,
    Passage,
    Pipeline,
    ServiceTime,
    Step,
    rate_per_s,
    run,
    steady,
    under_quota,
)

STEP_S = 0.02
_REPLY_S = 0.001
_FRAMES = 1500
_WARM_UP_FRAMES = 200
_MANY_IN_FLIGHT = 40


class ControlledWindow:
    """A window set by its control, and what it was at each answer."""

    def __init__(self, n_stages: int) -> None:
        self.control = WindowControl(n_stages)
        self.sizes: list[int] = []
        self.settled_sizes: list[int] = []

    @property
    def size(self) -> int:
        return self.control.size

    def hear(self, passage: Passage, in_flight: int) -> None:
        assert in_flight >= 1
        self.control.hear(Answered(passage.answered_at_s, passage.latency_s, sum(passage.wait_s), 0.0, passage.work_s))
        self.sizes.append(self.control.size)
        self.settled_sizes.append(self.control.settled_size)


@dataclass(frozen=True)
class Case:
    """A chain; its slowest step takes STEP_S. `make` gives a fresh one, so that every run meets the same times."""

    name: str
    n_stages: int
    make: Callable[[], Pipeline]


@dataclass(frozen=True)
class Verdict:
    """What a window gave on a chain. `queueing` is in times of the slowest step, work that load stretches left out."""

    rate_per_s: float
    queueing: float


def pipeline(stages: Sequence[ServiceTime], links: Sequence[ServiceTime]) -> Pipeline:
    """A link before each stage; two frames wait in a link, four in a board."""
    steps = []
    for link, stage in zip(links, stages):
        steps += [Step(link, is_link=True, places=2), Step(stage)]
    return Pipeline(steps, _REPLY_S)


def judge(case: Case, window: FixedWindow | ControlledWindow, frames: int = _FRAMES) -> Verdict:
    """Runs a window under full load, after a warm-up, and one frame at a time."""
    alone = run(case.make(), FixedWindow(1), 200)
    return verdict(run(case.make(), window, frames)[_WARM_UP_FRAMES:], alone)


def verdict(loaded: Sequence[Passage], alone: Sequence[Passage]) -> Verdict:
    """Compares two runs."""
    added_s = statistics.median(map(_unworked_s, loaded)) - statistics.median(map(_unworked_s, alone))
    return Verdict(rate_per_s(loaded), added_s / STEP_S)


def _unworked_s(passage: Passage) -> float:
    return passage.latency_s - sum(passage.work_s)


@functools.cache
def sweep(case: Case) -> tuple[float, dict[int, Verdict]]:
    """The throughput with many in flight, and the fixed windows that add at most two stage times."""
    full_per_s = judge(case, FixedWindow(_MANY_IN_FLIGHT)).rate_per_s
    fitting = {}
    for size in range(1, _MANY_IN_FLIGHT):
        found = judge(case, FixedWindow(size))
        if found.queueing > 2:
            break
        fitting[size] = found
    return full_per_s, fitting


def _case(name: str, stages_s: Sequence[float], links_s: Sequence[float], jitter: float) -> Case:
    def make() -> Pipeline:
        return pipeline([steady(s, jitter, seed) for seed, s in enumerate(stages_s)], [steady(s) for s in links_s])

    return Case(f"{name} of {len(stages_s)}, jitter {jitter:g}", len(stages_s), make)


def _quota_case(n: int, jitter: float) -> Case:
    """Boards of 0.2 core, whose quota comes in periods half as long as a stage."""

    def make() -> Pipeline:
        stages = [under_quota(STEP_S, 0.2, jitter=jitter, seed=seed) for seed in range(n)]
        return pipeline(stages, [steady(0.1 * STEP_S)] * n)

    return Case(f"quota of {n}, jitter {jitter:g}", n, make)


def _cases() -> list[Case]:
    cases = []
    short_s = 0.1 * STEP_S
    for n in (1, 2, 3, 4, 6, 8):
        middle = n // 2
        for jitter in (0.0, 0.1, 0.25, 0.5):
            cases.append(_case("balanced", [STEP_S] * n, [short_s] * n, jitter))
        one_slow = [STEP_S if i == middle else STEP_S / 2 for i in range(n)]
        cases.append(_case("one slow stage", one_slow, [short_s] * n, 0.3))
        cases.append(
            _case("one slow link", [STEP_S / 2] * n, [STEP_S if i == middle else short_s for i in range(n)], 0.3)
        )
        cases.append(_case("links as slow as stages", [STEP_S] * n, [STEP_S] * n, 0.3))
        cases += [_quota_case(n, 0.05), _quota_case(n, 0.3)]
    return cases


CASES = _cases()

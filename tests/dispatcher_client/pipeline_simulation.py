"""A chain of boards in simulated time: stages and links in line, each with its own time per frame and few places to wait.

    dispatcher -> link 0 -> stage 0 -> link 1 -> stage 1 -> ... -> stage N-1 -> (replies) -> dispatcher

Frames keep their order, so a frame's whole way follows from the ways of the frames before it when it is sent:

    start[i, n]  = max(arrival[i, n], depart[i, n - 1])
    depart[i, n] = max(start[i, n] + time(i, n), start[i + 1, n - places[i + 1]])
"""

from __future__ import annotations

import heapq
import random
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

# From the begin of a frame's work to its end.
ServiceTime = Callable[[float], float]


def steady(mean_s: float, jitter: float = 0.0, seed: int = 0) -> ServiceTime:
    """Evenly spread over mean_s * (1 - jitter ... 1 + jitter)."""
    random_numbers = random.Random(seed)
    return lambda begin_s: mean_s * (1 + jitter * random_numbers.uniform(-1, 1))


def under_quota(mean_s: float, share: float, period_s: float = 0.01, jitter: float = 0.0, seed: int = 0) -> ServiceTime:
    """mean_s of wall time, handed out as the first `share` of a core in each period; then the board stands still."""
    random_numbers = random.Random(seed)
    period, used_s = -1, 0.0

    def serve(begin_s: float) -> float:
        nonlocal period, used_s
        left_s = mean_s * share * (1 + jitter * random_numbers.uniform(-1, 1))
        now_s = begin_s
        while True:
            if int(now_s / period_s + 1e-9) > period:
                period, used_s = int(now_s / period_s + 1e-9), 0.0
            slice_s = min(left_s, share * period_s - used_s)
            left_s, used_s, now_s = left_s - slice_s, used_s + slice_s, now_s + slice_s
            if left_s <= 1e-12:
                return now_s - begin_s
            now_s = (period + 1) * period_s

    return serve


def changing(at_s: float, before: ServiceTime, after: ServiceTime) -> ServiceTime:
    """Another service time from a moment on."""
    return lambda begin_s: (before if begin_s < at_s else after)(begin_s)


@dataclass
class Step:
    """A stage or a link. `places`: frames that wait before it; when all are taken, the step before keeps its frame."""

    service: ServiceTime
    is_link: bool = False
    places: int = 4
    delay_s: float = 0.0
    starts_s: deque[float] = field(default_factory=deque)
    departed_s: float = 0.0


@dataclass(frozen=True)
class Passage:
    """One frame's way."""

    sent_at_s: float
    answered_at_s: float
    wait_s: tuple[float, ...]  # by stage
    work_s: tuple[float, ...]  # by stage

    @property
    def latency_s(self) -> float:
        """From sending to the answer."""
        return self.answered_at_s - self.sent_at_s


class Pipeline:
    """Steps in line; replies take `reply_s`."""

    def __init__(self, steps: Sequence[Step], reply_s: float = 0.0) -> None:
        self._steps = steps
        self._reply_s = reply_s

    def send(self, now_s: float) -> Passage:
        """A frame's way; frames are sent in the order of time."""
        wait_s, work_s = [], []
        arrived_s = now_s
        for step, following in zip(self._steps, [*self._steps[1:], None]):
            start_s = max(arrived_s, step.departed_s)
            finish_s = start_s + step.service(start_s)
            step.starts_s.append(start_s)
            if len(step.starts_s) > step.places:
                step.starts_s.popleft()
            depart_s = finish_s
            if following is not None and len(following.starts_s) == following.places:
                depart_s = max(depart_s, following.starts_s[0])
            step.departed_s = depart_s
            if not step.is_link:
                wait_s.append(start_s - arrived_s)
                work_s.append(finish_s - start_s)
            arrived_s = depart_s + step.delay_s
        return Passage(now_s, arrived_s + self._reply_s, tuple(wait_s), tuple(work_s))


class Window(Protocol):
    """What limits the frames in flight."""

    @property
    def size(self) -> int: ...

    def hear(self, passage: Passage, in_flight: int) -> None:
        """Told of each answer, which is still among those in flight."""


@dataclass
class FixedWindow:
    """The same size, whatever happens."""

    size: int

    def hear(self, passage: Passage, in_flight: int) -> None:
        """Learns nothing."""


def run(pipeline: Pipeline, window: Window, n_frames: int, inputs_s: Iterable[float] | None = None) -> list[Passage]:
    """The ways of frames that one dispatcher sends, as soon as its window allows.

    Args:
        inputs_s: when each frame's input is there, in order; always there by default.
    """
    return run_together(pipeline, [window], n_frames, inputs_s)[0]


def run_together(
    pipeline: Pipeline, windows: Sequence[Window], n_frames: int, inputs_s: Iterable[float] | None = None
) -> list[list[Passage]]:
    """The same of several dispatchers that share the boards; each sends n_frames."""
    given = [0.0] * n_frames if inputs_s is None else list(inputs_s)
    passages: list[list[Passage]] = [[] for _ in windows]
    in_flight = [0] * len(windows)
    sent = [0] * len(windows)
    events: list[tuple[float, int, int, Passage | None]] = []  # answers, and moments to look again
    order = 0
    for index in range(len(windows)):
        events.append((given[0], index, index, None))
        order += 1
    heapq.heapify(events)
    while events:
        now_s, _, index, answered = heapq.heappop(events)
        if answered is not None:
            windows[index].hear(answered, in_flight[index])
            passages[index].append(answered)
            in_flight[index] -= 1
        while sent[index] < n_frames and in_flight[index] < windows[index].size:
            if given[sent[index]] > now_s:
                order += 1
                heapq.heappush(events, (given[sent[index]], order, index, None))
                break
            passage = pipeline.send(now_s)
            sent[index] += 1
            in_flight[index] += 1
            order += 1
            heapq.heappush(events, (passage.answered_at_s, order, index, passage))
    return passages


def rate_per_s(passages: Sequence[Passage]) -> float:
    """Answers per second."""
    return (len(passages) - 1) / (passages[-1].answered_at_s - passages[0].answered_at_s)

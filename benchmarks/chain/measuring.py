"""Measures chains; runs where the dispatcher is, in a process of its own."""

from __future__ import annotations

import contextlib
import itertools
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.boards.thread_quota import ThreadQuota, busiest_thread, thread_cpu_ns
from benchmarks.chain.figures import LoadedRun, StageAlone, stages_alone, stages_loaded, steady_rate
from bundle import Plan, open_bundle
from dispatcher_client import Board, Dispatcher
from dispatcher_client.chain import ReplyReport
from dispatcher_client.values import Values

_OPEN_TIMEOUT_S = 120.0
_ALONE_WARM_UP_FRAMES = 3
_ALONE_FRAMES = 40
_ALONE_BUDGET_S = 4.0
_FIND_THREADS_WINDOWS = 4


@dataclass(frozen=True)
class SpareCore:
    """For each board by name: its service's process, and what holds a thread of it to `cores`."""

    cores: float
    boards: dict[str, tuple[int, ThreadQuota]]


@dataclass(frozen=True)
class RunRequest:
    """What to run: a plan's chains through a bundle, for so long or for so many frames."""

    bundle: Path
    boards: Sequence[Board]
    plan: Plan
    codec: str = "raw"
    seconds: float = 8.0
    frames: int | None = None
    spare: SpareCore | None = None


class ReplyTimes:
    """Collects reports and when they came; give it to a Dispatcher as `on_reply`."""

    def __init__(self) -> None:
        self.reports: list[ReplyReport] = []
        self.at_s: list[float] = []

    def __call__(self, report: ReplyReport) -> None:
        """Keeps the report."""
        self.at_s.append(time.perf_counter())
        self.reports.append(report)

    def clear(self) -> None:
        """Forgets all."""
        self.reports.clear()
        self.at_s.clear()


def deploy(request: RunRequest) -> None:
    """Brings the plan's partitions to the boards; they stay there."""
    with _open(request, ReplyTimes()):
        pass


def measure_chain(request: RunRequest) -> tuple[tuple[StageAlone, ...], tuple[float, ...], LoadedRun]:
    """The plan's first chain: (stages, latencies in ms) with one frame in flight, and a run at full load."""
    log = ReplyTimes()
    with _open(request, log) as chain, _held(request, chain):
        stages, latencies_ms = _alone(request, chain, log)
        rate, steady = _load(request, chain, log)
        loaded = LoadedRun(
            images_per_s=rate,
            frames=len(steady),
            window=chain.window,
            latencies_ms=tuple(report.latency_s * 1e3 for report in steady),
            reply_bytes=sum(report.received_bytes for report in steady) / len(steady),
            stages=stages_loaded(_first_chain(request.plan), steady),
        )
    return stages, latencies_ms, loaded


def measure_rate(request: RunRequest) -> float:
    """Answers per second of all the plan's chains together, at full load."""
    log = ReplyTimes()
    with _open(request, log) as chain, _held(request, chain):
        return _load(request, chain, log)[0]


def _open(request: RunRequest, log: ReplyTimes) -> Dispatcher:
    return Dispatcher(
        open_bundle(request.bundle),
        list(request.boards),
        plan=request.plan,
        insecure=True,
        codec=request.codec,
        open_timeout_s=_OPEN_TIMEOUT_S,
        on_reply=log,
    )


def _alone(request: RunRequest, chain: Dispatcher, log: ReplyTimes) -> tuple[tuple[StageAlone, ...], tuple[float, ...]]:
    values = _sample(request)
    for _ in range(_ALONE_WARM_UP_FRAMES):
        chain.infer(values, chain_index=0)
    log.clear()
    stop_s = time.perf_counter() + _ALONE_BUDGET_S
    for _ in range(_ALONE_FRAMES):
        chain.infer(values, chain_index=0)
        if time.perf_counter() > stop_s:
            break
    found = stages_alone(_first_chain(request.plan), log.reports)
    return found, tuple(report.latency_s * 1e3 for report in log.reports)


def _load(request: RunRequest, chain: Dispatcher, log: ReplyTimes) -> tuple[float, list[ReplyReport]]:
    """The rate, and the replies of the steady state."""
    warm_up = 2 * chain.window
    source = _Source(_sample(request), request.frames, warm_up, request.seconds)
    log.clear()
    for _ in chain.stream(source):
        pass
    steady = log.reports[min(warm_up, len(log.reports) - 2) :]
    return steady_rate(log.at_s, warm_up, source.stop_s), steady


class _Source:
    """The same input again and again: the warm-up, and then so many frames or for so long."""

    def __init__(self, values: Values, frames: int | None, warm_up: int, seconds: float) -> None:
        self._values = values
        self._frames = frames
        self._warm_up = warm_up
        self._seconds = seconds
        self.stop_s = float("inf")

    def __iter__(self) -> Iterator[Values]:
        yield from itertools.repeat(self._values, self._warm_up)
        end_s = time.perf_counter() + self._seconds
        count = itertools.repeat(None) if self._frames is None else itertools.repeat(None, self._frames)
        for _ in count:
            if self._frames is None and time.perf_counter() > end_s:
                break
            yield self._values
        self.stop_s = time.perf_counter()


@contextlib.contextmanager
def _held(request: RunRequest, chain: Dispatcher) -> Iterator[None]:
    """Finds the thread that computes on each board, the one that frames cost most, and holds it to its quota."""
    with contextlib.ExitStack() as held:
        spare = request.spare
        if spare is not None:
            used = [(board, thread_cpu_ns(spare.boards[board][0])) for board in request.plan.board_names]
            for _ in chain.stream(itertools.repeat(_sample(request), _FIND_THREADS_WINDOWS * chain.window)):
                pass
            for board, before in used:
                pid, quota = spare.boards[board]
                held.enter_context(quota.hold(busiest_thread(before, thread_cpu_ns(pid)), spare.cores))
        yield


def _sample(request: RunRequest) -> Values:
    return open_bundle(request.bundle).load_sample()[0]


def _first_chain(plan: Plan) -> list[str]:
    return [stage.board for stage in plan.chains[0].stages]

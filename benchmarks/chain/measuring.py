"""Measures chains; runs where the dispatcher is, in a process of its own."""

from __future__ import annotations

import contextlib
import itertools
import statistics
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.boards.thread_quota import ThreadQuota, busiest_thread, thread_cpu_ns
from benchmarks.chain.figures import LoadedRun, StageAlone, stages_alone, stages_loaded, steady_rate
from bundle import Plan, open_bundle
from dispatcher_client import Board, Dispatcher
from dispatcher_client.chain import ReplyReport
from dispatcher_client.micro_batches import split_values
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
    """What to run: a plan's chains through a bundle, for so long or for so many frames; plaintext without credentials."""

    bundle: Path
    boards: Sequence[Board]
    plan: Plan
    codec: str = "raw"
    seconds: float = 8.0
    frames: int | None = None
    spare: SpareCore | None = None
    credentials: Path | None = None


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
        load = _load(request, chain, log)
        loaded = LoadedRun(
            images_per_s=load.images_per_s,
            images_per_frame=load.images_per_frame,
            frames=len(load.steady),
            window=chain.window,
            latencies_ms=load.latencies_ms,
            reply_bytes=statistics.fmean(report.received_bytes for report in load.steady) / load.images_per_frame,
            stages=stages_loaded(_first_chain(request.plan), load.steady, load.images_per_frame),
        )
    return stages, latencies_ms, loaded


def measure_rate(request: RunRequest) -> float:
    """Images per second of all the plan's chains together, at full load."""
    log = ReplyTimes()
    with _open(request, log) as chain, _held(request, chain):
        return _load(request, chain, log).images_per_s


def _open(request: RunRequest, log: ReplyTimes) -> Dispatcher:
    return Dispatcher(
        open_bundle(request.bundle),
        list(request.boards),
        plan=request.plan,
        credentials=request.credentials,
        insecure=request.credentials is None,
        recovers=False,  # boards that a plan leaves out are not to be kept busy
        codec=request.codec,
        open_timeout_s=_OPEN_TIMEOUT_S,
        on_reply=log,
    )


def _alone(request: RunRequest, chain: Dispatcher, log: ReplyTimes) -> tuple[tuple[StageAlone, ...], tuple[float, ...]]:
    """One image at a time, which waits in vain for others where a frame has room for them."""
    image = _images(request)[0]
    for _ in range(_ALONE_WARM_UP_FRAMES):
        chain.infer(image, chain_index=0)
    log.clear()
    latencies_ms = []
    stop_s = time.perf_counter() + _ALONE_BUDGET_S
    for _ in range(_ALONE_FRAMES):
        begun_s = time.perf_counter()
        chain.infer(image, chain_index=0)
        ended_s = time.perf_counter()
        latencies_ms.append((ended_s - begun_s) * 1e3)
        if ended_s > stop_s:
            break
    return stages_alone(_first_chain(request.plan), log.reports, chain.batch), tuple(latencies_ms)


@dataclass(frozen=True)
class _Load:
    """A run at full load: its rate, and latencies and replies of the steady state."""

    images_per_s: float
    images_per_frame: float
    latencies_ms: tuple[float, ...]
    steady: list[ReplyReport]


def _load(request: RunRequest, chain: Dispatcher, log: ReplyTimes) -> _Load:
    """Single images, as an application passes them."""
    warm_up = 2 * chain.window
    source = _Source(_images(request), request.frames, warm_up, request.seconds)
    log.clear()
    latencies_ms = [(time.perf_counter() - source.taken_s.popleft()) * 1e3 for _ in chain.stream(source)]
    images_per_frame = len(latencies_ms) / len(log.reports)  # a frame leaves with fewer than it holds if they come late
    return _Load(
        steady_rate(log.at_s, warm_up, source.stop_s) * images_per_frame,
        images_per_frame,
        tuple(latencies_ms[warm_up * chain.batch :]),
        log.reports[min(warm_up, len(log.reports) - 2) :],
    )


class _Source:
    """A frame's images again and again: the warm-up, and then so many frames or for so long.

    Attributes:
        taken_s: when each image was taken that has no answer yet; whoever gets the answers takes them out.
    """

    def __init__(self, images: Sequence[Values], frames: int | None, warm_up: int, seconds: float) -> None:
        self._images = images
        self._frames = frames
        self._warm_up = warm_up
        self._seconds = seconds
        self.taken_s = deque[float]()
        self.stop_s = float("inf")

    def __iter__(self) -> Iterator[Values]:
        for image in itertools.chain.from_iterable(self._frames_of_images()):
            self.taken_s.append(time.perf_counter())
            yield image
        self.stop_s = time.perf_counter()

    def _frames_of_images(self) -> Iterator[Sequence[Values]]:
        yield from itertools.repeat(self._images, self._warm_up)
        end_s = time.perf_counter() + self._seconds
        count = itertools.repeat(None) if self._frames is None else itertools.repeat(None, self._frames)
        for _ in count:
            if self._frames is None and time.perf_counter() > end_s:
                break
            yield self._images


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


def _images(request: RunRequest) -> list[Values]:
    opened = open_bundle(request.bundle)
    return split_values(opened.load_sample()[0], opened.batch)


def _first_chain(plan: Plan) -> list[str]:
    return [stage.board for stage in plan.chains[0].stages]

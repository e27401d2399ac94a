"""Measures an open chain: each stage alone, one request at a time, then all boards at full load."""

from __future__ import annotations

import itertools
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from dispatcher_client.chain import ReplyReport
from dispatcher_client.dispatcher import Dispatcher
from dispatcher_client.values import Values

_WARM_UP_FRAMES = 3
_ALONE_FRAMES = 20
_ALONE_BUDGET_S = 3.0
_NS_PER_MS = 1e6


@dataclass(frozen=True)
class StageFigures:
    """One stage at full load; medians per frame. `alone_ms` is decode, compute and encode with nothing else in flight."""

    stage: int
    board: str
    alone_ms: float
    compute_ms: float
    wait_ms: float
    coding_ms: float
    send_ms: float
    received_bytes: int
    sent_bytes: int
    share_of_compute: float


@dataclass(frozen=True)
class BenchFigures:
    """A whole run. `bound_per_s` is the reciprocal of the slowest stage or send, each measured alone."""

    model: str
    frames: int
    window: int
    throughput_per_s: float
    bound_per_s: float
    bound_by: str
    share_of_bound: float
    latency_alone_p50_ms: float
    latency_p50_ms: float
    latency_p95_ms: float
    latency_p99_ms: float
    stages: list[StageFigures]

    def as_json(self) -> dict[str, Any]:
        """The figures as plain values."""
        return asdict(self)


class ReplyLog:
    """Collects the reports of answered requests; give it to a Dispatcher as `on_reply`."""

    def __init__(self) -> None:
        self.reports: list[ReplyReport] = []

    def __call__(self, report: ReplyReport) -> None:
        """Keeps the report."""
        self.reports.append(report)


def run_bench(
    chain: Dispatcher,
    log: ReplyLog,
    frames: Iterator[Values],
    n_frames: int,
    on_frame: Callable[[int], None] = lambda done: None,
) -> BenchFigures:
    """Runs frames through an open chain and returns the figures.

    Args:
        log: what the chain was opened with as `on_reply`.
        frames: inputs, at least n_frames and some more.
        on_frame: hears how many frames of the loaded phase are done.
    """
    alone = _run_alone(chain, log, frames)
    log.reports.clear()
    begun_s = time.perf_counter()
    for done, _ in enumerate(chain.stream(itertools.islice(frames, n_frames)), start=1):
        on_frame(done)
    elapsed_s = time.perf_counter() - begun_s
    loaded = list(log.reports)
    stages = _stage_figures(chain, alone, loaded)
    bound_per_s, bound_by = _bound(stages, alone)
    latencies_ms = [r.latency_s * 1e3 for r in loaded]
    p50, p95, p99 = (float(v) for v in np.percentile(latencies_ms, (50, 95, 99)))
    return BenchFigures(
        model=chain.manifest.model_name,
        frames=n_frames,
        window=chain.window,
        throughput_per_s=n_frames / elapsed_s,
        bound_per_s=bound_per_s,
        bound_by=bound_by,
        share_of_bound=n_frames / elapsed_s / bound_per_s,
        latency_alone_p50_ms=statistics.median(r.latency_s for r in alone) * 1e3,
        latency_p50_ms=p50,
        latency_p95_ms=p95,
        latency_p99_ms=p99,
        stages=stages,
    )


def _run_alone(chain: Dispatcher, log: ReplyLog, frames: Iterator[Values]) -> list[ReplyReport]:
    for _ in range(_WARM_UP_FRAMES):
        chain.infer(next(frames))
    log.reports.clear()
    stop_s = time.perf_counter() + _ALONE_BUDGET_S
    for _ in range(_ALONE_FRAMES):
        chain.infer(next(frames))
        if time.perf_counter() > stop_s:
            break
    return list(log.reports)


def _stage_figures(chain: Dispatcher, alone: list[ReplyReport], loaded: list[ReplyReport]) -> list[StageFigures]:
    total_compute_ms = sum(_median_ms(loaded, i, "compute_ns") for i in range(len(chain.stages)))
    figures = []
    for index, stage in enumerate(chain.stages):
        compute_ms = _median_ms(loaded, index, "compute_ns")
        figures.append(
            StageFigures(
                stage=index,
                board=stage.placement.board.name,
                alone_ms=_median_ms(alone, index, "decode_ns", "compute_ns", "encode_ns"),
                compute_ms=compute_ms,
                wait_ms=_median_ms(loaded, index, "wait_ns"),
                coding_ms=_median_ms(loaded, index, "decode_ns", "encode_ns"),
                send_ms=_median_ms(loaded, index, "send_ns"),
                received_bytes=round(statistics.median(r.timings[index].received_bytes for r in loaded)),
                sent_bytes=round(statistics.median(r.timings[index].sent_bytes for r in loaded)),
                share_of_compute=compute_ms / total_compute_ms,
            )
        )
    return figures


def _bound(stages: list[StageFigures], alone: list[ReplyReport]) -> tuple[float, str]:
    """Frames per second of the slowest step alone, and its name."""
    steps = {f"stage {s.stage} on {s.board}": s.alone_ms for s in stages}
    steps.update({f"sending from {s.board}": _median_ms(alone, s.stage, "send_ns") for s in stages})
    name = max(steps, key=lambda step: steps[step])
    return 1e3 / steps[name], name


def _median_ms(reports: list[ReplyReport], stage_index: int, *fields: str) -> float:
    sums_ns = [float(sum(getattr(r.timings[stage_index], f) for f in fields)) for r in reports]
    return statistics.median(sums_ns) / _NS_PER_MS

"""Measures open chains: each stage alone, one request at a time, then all boards at full load."""

from __future__ import annotations

import itertools
import statistics
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from dispatcher_client.chain import ReplyReport
from dispatcher_client.dispatcher import Dispatcher
from dispatcher_client.micro_batches import join_values, split_values
from dispatcher_client.values import Values
from transport.tensor_codec import codec_name

_WARM_UP_FRAMES = 3
_ALONE_FRAMES = 20
_ALONE_BUDGET_S = 3.0
_NS_PER_MS = 1e6


@dataclass(frozen=True)
class StageFigures:
    """One stage at full load; medians per frame, 0 where no frame came.

    `alone_ms` is decode, compute and encode with nothing else in flight; `share_of_compute` is of the stage's chain.
    `outside_cpu_ms` is processor time of the board's service beside the runtime's invoke, a mean; with several stages on a board,
    all of them count. `codec_reason` says how what leaves is coded and why, as the board told it last.
    """

    chain: int
    stage: int
    board: str
    alone_ms: float
    compute_ms: float
    wait_ms: float
    coding_ms: float
    send_ms: float
    received_bytes: int
    sent_bytes: int
    sent_raw_bytes: int
    outside_cpu_ms: float
    codec_reason: str
    share_of_compute: float


@dataclass(frozen=True)
class ChainFigures:
    """One chain of a run. `bound_per_s` is the images in the time of its slowest stage or send, each measured alone."""

    chain: int
    frames: int
    bound_per_s: float
    bound_by: str


@dataclass(frozen=True)
class BenchFigures:
    """A whole run, in images: each of the `frames` holds `batch` of them. `bound_per_s` is the sum of the chains' bounds;
    `window` is what it was at the end.

    Latencies at full load are an image's: from sending its frame, or, of a batch, from taking the image (it waits until the
    frame is full), to its answer. `queueing_in_stage_times` is what load adds to a frame's latency, in times of the slowest
    stage or send alone: of the chain to whose latency it adds most.
    """

    model: str
    frames: int
    batch: int
    window: int
    throughput_per_s: float
    bound_per_s: float
    bound_by: str
    share_of_bound: float
    latency_alone_p50_ms: float
    latency_p50_ms: float
    latency_p95_ms: float
    latency_p99_ms: float
    queueing_in_stage_times: float
    chains: list[ChainFigures]
    stages: list[StageFigures]
    input_codec_reasons: list[str]

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
    loaded_in: AbstractContextManager[object] | None = None,
) -> BenchFigures:
    """Runs frames through open chains and returns the figures.

    Args:
        log: what the dispatcher was opened with as `on_reply`.
        frames: inputs, single ones or whole batches; at least n_frames batches and some more for each chain.
        on_frame: hears how many frames of the loaded phase are done.
        loaded_in: the loaded phase runs in its block.
    """
    n_chains = 1 + max(s.placement.chain_index for s in chain.stages)
    batch = chain.batch
    images = (image for values in frames for image in split_values(values, batch))
    whole = (join_values(list(itertools.islice(images, batch))) for _ in itertools.count())
    alone = [report for index in range(n_chains) for report in _run_alone(chain, index, log, whole)]
    log.reports.clear()
    with loaded_in or nullcontext():
        begun_s = time.perf_counter()
        streamed_s = _run_loaded(chain, itertools.islice(images, n_frames * batch), on_frame)
        elapsed_s = time.perf_counter() - begun_s
    loaded = list(log.reports)
    stages = _stage_figures(chain, alone, loaded)
    chains = [_chain_figures(index, stages, alone, loaded, batch) for index in range(n_chains)]
    bound_per_s = sum(c.bound_per_s for c in chains)
    latencies_ms = [s * 1e3 for s in (streamed_s if batch > 1 else [r.latency_s for r in loaded])]
    p50, p95, p99 = (float(v) for v in np.percentile(latencies_ms, (50, 95, 99)))
    return BenchFigures(
        model=chain.manifest.model_name,
        frames=n_frames,
        batch=batch,
        window=chain.window,
        throughput_per_s=n_frames * batch / elapsed_s,
        bound_per_s=bound_per_s,
        bound_by=" and ".join(c.bound_by for c in chains),
        share_of_bound=n_frames * batch / elapsed_s / bound_per_s,
        latency_alone_p50_ms=statistics.median(r.latency_s for r in alone) * 1e3,
        latency_p50_ms=p50,
        latency_p95_ms=p95,
        latency_p99_ms=p99,
        queueing_in_stage_times=max(_queueing_s(c.chain, alone, loaded) * c.bound_per_s for c in chains),
        chains=chains,
        stages=stages,
        input_codec_reasons=chain.coding_reasons,
    )


def _run_alone(chain: Dispatcher, chain_index: int, log: ReplyLog, frames: Iterator[Values]) -> list[ReplyReport]:
    for _ in range(_WARM_UP_FRAMES):
        chain.infer(next(frames), chain_index=chain_index)
    log.reports.clear()
    stop_s = time.perf_counter() + _ALONE_BUDGET_S
    for _ in range(_ALONE_FRAMES):
        chain.infer(next(frames), chain_index=chain_index)
        if time.perf_counter() > stop_s:
            break
    return list(log.reports)


def _run_loaded(chain: Dispatcher, images: Iterator[Values], on_frame: Callable[[int], None]) -> list[float]:
    """Streams the images; seconds from taking each to its answer."""
    taken_s: deque[float] = deque()

    def timed() -> Iterator[Values]:
        for image in images:
            taken_s.append(time.perf_counter())
            yield image

    latencies_s = []
    for done, _ in enumerate(chain.stream(timed()), start=1):
        latencies_s.append(time.perf_counter() - taken_s.popleft())
        if done % chain.batch == 0:
            on_frame(done // chain.batch)
    return latencies_s


def _stage_figures(chain: Dispatcher, alone: list[ReplyReport], loaded: list[ReplyReport]) -> list[StageFigures]:
    figures = []
    for stage in chain.stages:
        chain_index, index = stage.placement.chain_index, stage.placement.stage_index
        alone_here, loaded_here = _of_chain(chain_index, alone), _of_chain(chain_index, loaded)
        figures.append(
            StageFigures(
                chain=chain_index,
                stage=index,
                board=stage.placement.board.name,
                alone_ms=_median_ms(alone_here, index, "decode_ns", "compute_ns", "pieces_wait_ns", "encode_ns"),
                compute_ms=_median_ms(loaded_here, index, "compute_ns"),
                wait_ms=_median_ms(loaded_here, index, "wait_ns"),
                coding_ms=_median_ms(loaded_here, index, "decode_ns", "encode_ns"),
                send_ms=_median_ms(loaded_here, index, "send_ns"),
                received_bytes=round(_median(loaded_here, index, "received_bytes")),
                sent_bytes=round(_median(loaded_here, index, "sent_bytes")),
                sent_raw_bytes=round(_median(loaded_here, index, "sent_raw_bytes")),
                outside_cpu_ms=_outside_cpu_ms(loaded_here, index),
                codec_reason=_last_reason([*alone_here, *loaded_here], index),
                share_of_compute=0.0,
            )
        )
    return [replace(s, share_of_compute=_share_of_compute(s, figures)) for s in figures]


def _outside_cpu_ms(reports: list[ReplyReport], stage_index: int) -> float:
    timings = [report.timings[stage_index] for report in reports]
    if len(timings) < 2:
        return 0.0
    service_ns = timings[-1].service_cpu_ns - timings[0].service_cpu_ns
    return (service_ns - sum(t.invoke_cpu_ns for t in timings[1:])) / (len(timings) - 1) / _NS_PER_MS


def _last_reason(reports: list[ReplyReport], stage_index: int) -> str:
    timings = [report.timings[stage_index] for report in reversed(reports)]
    told = next((t.codec_reason for t in timings if t.codec_reason), "")
    # Told with the first frame, which is warm-up, and then every so many: in a short run the codecs are all that is known.
    return told or " + ".join(dict.fromkeys(codec_name(c) for t in timings[:1] for c in t.sent_codecs)) or "raw"


def _share_of_compute(stage: StageFigures, stages: list[StageFigures]) -> float:
    total_ms = sum(s.compute_ms for s in stages if s.chain == stage.chain)
    return stage.compute_ms / total_ms if total_ms else 0.0


def _chain_figures(
    chain_index: int, stages: list[StageFigures], alone: list[ReplyReport], loaded: list[ReplyReport], batch: int
) -> ChainFigures:
    """A chain's share of the frames, and its slowest step alone."""
    own = [s for s in stages if s.chain == chain_index]
    alone_here = _of_chain(chain_index, alone)
    steps = {f"stage {s.stage} on {s.board}": s.alone_ms for s in own}
    steps.update({f"sending from {s.board}": _median_ms(alone_here, s.stage, "send_ns") for s in own})
    slowest = max(steps, key=lambda step: steps[step])
    return ChainFigures(chain_index, len(_of_chain(chain_index, loaded)), batch * 1e3 / steps[slowest], slowest)


def _queueing_s(chain_index: int, alone: list[ReplyReport], loaded: list[ReplyReport]) -> float:
    """What load adds to a chain's median latency; 0 if no frame went there."""
    alone_s, loaded_s = ([r.latency_s for r in _of_chain(chain_index, reports)] for reports in (alone, loaded))
    return statistics.median(loaded_s) - statistics.median(alone_s) if loaded_s else 0.0


def _of_chain(chain_index: int, reports: list[ReplyReport]) -> list[ReplyReport]:
    return [report for report in reports if report.chain_index == chain_index]


def _median_ms(reports: list[ReplyReport], stage_index: int, *fields: str) -> float:
    return _median(reports, stage_index, *fields) / _NS_PER_MS


def _median(reports: list[ReplyReport], stage_index: int, *fields: str) -> float:
    """Of the fields' sum in each report; 0 without reports."""
    sums = [float(sum(getattr(r.timings[stage_index], f) for f in fields)) for r in reports]
    return statistics.median(sums) if sums else 0.0

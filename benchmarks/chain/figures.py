"""What a run's replies say of its stages, links and latencies; arithmetic only."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dispatcher_client.chain import ReplyReport
from protos.v1.data_plane_pb2 import Codec

_NS_PER_MS = 1e6


@dataclass(frozen=True)
class StageAlone:
    """One stage with one frame in flight in the whole chain; medians, for an image's share of a frame.

    `invoke_cpu_ms` is None where the board's service does not say it; `compute_ms` is wall time.
    """

    board: str
    invoke_cpu_ms: float | None
    compute_ms: float


@dataclass(frozen=True)
class StageLoad:
    """One stage at full load; means per image.

    Attributes:
        service_cpu_ms: processor time of the board's service, everything in it.
        invoke_cpu_ms: of that, inside `invoke`; None where the service does not say it.
        sent_bytes, raw_bytes: the tensors that leave, encoded and before.
        codecs: of the tensors that leave, in order, in the last frame; reason: why these.
    """

    board: str
    service_cpu_ms: float
    invoke_cpu_ms: float | None
    received_bytes: float
    sent_bytes: float
    raw_bytes: float
    codecs: tuple[str, ...]
    reason: str


@dataclass(frozen=True)
class LoadedRun:
    """A chain at full load.

    Attributes:
        images_per_frame: how full frames left: those that come late miss theirs.
        latencies_ms: each image's, from taking it to its answer.
        reply_bytes: per image.
    """

    images_per_s: float
    images_per_frame: float
    frames: int
    window: int
    latencies_ms: tuple[float, ...]
    reply_bytes: float
    stages: tuple[StageLoad, ...]


def stages_alone(boards: Sequence[str], reports: Sequence[ReplyReport], batch: int = 1) -> tuple[StageAlone, ...]:
    """Of replies that came one at a time. Args: batch: images that a frame has room for; all are computed."""
    found = []
    for stage, board in enumerate(boards):
        invoke = [r.timings[stage].invoke_cpu_ns for r in reports]
        compute = [r.timings[stage].compute_ns for r in reports]
        known = statistics.median(invoke) / _NS_PER_MS / batch if all(invoke) else None
        found.append(StageAlone(board, known, statistics.median(compute) / _NS_PER_MS / batch))
    return tuple(found)


def stages_loaded(
    boards: Sequence[str], reports: Sequence[ReplyReport], images_per_frame: float = 1.0
) -> tuple[StageLoad, ...]:
    """Of consecutive replies, two at least, of one chain."""
    return tuple(_stage_loaded(board, stage, reports, images_per_frame) for stage, board in enumerate(boards))


def _stage_loaded(board: str, stage: int, reports: Sequence[ReplyReport], images: float) -> StageLoad:
    timings = [r.timings[stage] for r in reports]
    first, last = timings[0], timings[-1]
    invoke = [t.invoke_cpu_ns for t in timings[1:]]  # what the counter's difference covers
    return StageLoad(
        board=board,
        service_cpu_ms=(last.service_cpu_ns - first.service_cpu_ns) / (len(timings) - 1) / _NS_PER_MS / images,
        invoke_cpu_ms=statistics.fmean(invoke) / _NS_PER_MS / images if all(invoke) else None,
        received_bytes=statistics.fmean(t.received_bytes for t in timings) / images,
        sent_bytes=statistics.fmean(t.sent_bytes for t in timings) / images,
        raw_bytes=statistics.fmean(t.sent_raw_bytes or t.sent_bytes for t in timings) / images,
        codecs=tuple(Codec.Name(codec).lower().replace("_", "-") for codec in last.sent_codecs),
        reason=next((t.codec_reason for t in reversed(timings) if t.codec_reason), ""),
    )


def steady_rate(at_s: Sequence[float], warm_up: int, stop_s: float) -> float:
    """Answers per second after the first `warm_up`, up to `stop_s`, when the last input was taken: the pipeline is full between.

    Args: at_s: when each answer came, rising. With too few of them up to `stop_s`, all count.
    """
    steady = [at for at in at_s if at <= stop_s][warm_up:]
    if len(steady) < 2:
        steady = list(at_s[min(warm_up, len(at_s) - 2) :])
    return (len(steady) - 1) / (steady[-1] - steady[0])


def percentile(values: Sequence[float], percent: float) -> float:
    """Linear between the neighbours."""
    return float(np.percentile(values, percent))

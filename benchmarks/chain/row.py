"""The table's rows: what was measured of one case, put together from its turns."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Optional

from benchmarks.chain.bound import Bound, bound_of
from benchmarks.chain.figures import percentile
from benchmarks.chain.turns import Case, Turns, invoke_alone_ms, invoke_loaded_ms, knows_invoke_cpu, medians

_BYTES_PER_MB = 1e6


@dataclass(frozen=True)
class Row:
    """One case, flat. Ratios are of figures in the same row; "of boards" and "of hops" list one figure per board, in order.

    One board and replicas have the same batch; a DEFER-style chain has none.

    Attributes:
        share_of_plaintext: images_per_s with mutual TLS, over that of the same chain without; None in plaintext.
        batch: images that a frame has room for; images_per_frame: how many left in one, the mean over the turns, since those that
            come late miss theirs. largest_difference_of_answers: to those of the images alone.
        latency_p50_ms, latency_p99_ms: an image's, from taking it to its answer; "alone": with nothing else in flight, where
            it waits in vain for others to fill its frame.
        slowest_stage_ms: for a whole frame, alone.
        bound_images_per_s: reciprocal of the slowest stage's invoke or link alone; bound_by names it.
        bytes_sent_per_image: by all boards, encoded tensors; bytes_raw_per_image: the same before encoding.
        queueing_in_stage_times: median latency at full load beyond that alone, in times of the slowest stage.
        cpu_outside_invoke_ms_per_mb: processor time of all boards outside `invoke` by what they received and sent.
        cpu_per_board_vs_one_board: processor time per image of the mean board, over that of the one board with the whole model.
        invoke_cpu_from: how the time inside invoke is known.
    """

    model: str
    dtype: str
    boards: int
    used_boards: int
    cores_per_board: float
    spare_core: bool
    link_mbit_s: float
    codec: str
    tls: bool
    batch: int
    images_per_frame: float
    images_per_s: float
    share_of_plaintext: Optional[float]
    bound_images_per_s: float
    bound_by: str
    share_of_bound: float
    planned_images_per_s: Optional[float]
    one_board_images_per_s: float
    speedup_vs_one_board: float
    replicas_images_per_s: Optional[float]
    speedup_vs_replicas: Optional[float]
    defer_style_images_per_s: Optional[float]
    speedup_vs_defer_style: Optional[float]
    latency_alone_p50_ms: float
    latency_alone_p99_ms: float
    latency_p50_ms: float
    latency_p99_ms: float
    slowest_stage_ms: float
    queueing_in_stage_times: float
    window: int
    frames: int
    turns: int
    cpu_invoke_ms_per_image: float
    cpu_outside_invoke_ms_per_image: float
    cpu_outside_invoke_ms_per_mb: float
    cpu_per_board_vs_one_board: float
    bytes_sent_per_image: float
    bytes_raw_per_image: float
    bytes_sent_of_hops: str
    bytes_raw_of_hops: str
    cpu_invoke_ms_of_boards: str
    cpu_outside_invoke_ms_of_boards: str
    codecs_of_hops: str
    codec_reasons: str
    largest_difference_of_answers: float
    invoke_cpu_from: str
    cuts: str


def make_row(case: Case, turns: Turns, one_board: Turns, plaintext: Turns | None = None) -> Row:
    """The medians over the turns, and what follows from them.

    Args: one_board: the same model on one of the boards. plaintext: the same chain without TLS.
    """
    stages = turns.loaded[0].stages
    alone_ms = invoke_alone_ms(turns, case.cores)
    reply_bytes = turns.loaded[-1].reply_bytes
    received = medians(turns, lambda stage: stage.received_bytes)
    bound = bound_of(
        [s.board for s in stages], alone_ms, received, reply_bytes, cores=case.cores, link_mbit_s=case.link_mbit_s
    )
    rate, one_rate = _rate(turns), _rate(one_board)
    replicas = statistics.median(turns.replicas_images_per_s) if turns.replicas_images_per_s else None
    service_ms, invoke_ms, sent, raw = (
        medians(turns, lambda stage: stage.service_cpu_ms),
        invoke_loaded_ms(turns, alone_ms),
        medians(turns, lambda stage: stage.sent_bytes),
        medians(turns, lambda stage: stage.raw_bytes),
    )
    slowest_ms = max(alone_ms) * case.batch / case.cores
    outside_ms = [service - invoke for service, invoke in zip(service_ms, invoke_ms)]
    latencies_ms = [ms for run in turns.loaded for ms in run.latencies_ms]
    one_service_ms = medians(one_board, lambda stage: stage.service_cpu_ms)[0]
    last = turns.loaded[-1].stages
    return Row(
        model=case.model,
        dtype=case.dtype,
        boards=case.boards,
        used_boards=case.used_boards,
        cores_per_board=case.cores,
        spare_core=case.spare_core,
        link_mbit_s=case.link_mbit_s,
        codec=case.codec,
        tls=case.tls,
        batch=case.batch,
        images_per_frame=statistics.fmean(run.images_per_frame for run in turns.loaded),
        images_per_s=rate,
        share_of_plaintext=None if plaintext is None else rate / _rate(plaintext),
        **_bound_fields(bound, rate),
        planned_images_per_s=case.planned_images_per_s,
        one_board_images_per_s=one_rate,
        speedup_vs_one_board=rate / one_rate,
        replicas_images_per_s=replicas,
        speedup_vs_replicas=_ratio(rate, replicas),
        defer_style_images_per_s=turns.defer_images_per_s,
        speedup_vs_defer_style=_ratio(rate, turns.defer_images_per_s),
        latency_alone_p50_ms=percentile(turns.latencies_alone_ms, 50),
        latency_alone_p99_ms=percentile(turns.latencies_alone_ms, 99),
        latency_p50_ms=percentile(latencies_ms, 50),
        latency_p99_ms=percentile(latencies_ms, 99),
        slowest_stage_ms=slowest_ms,
        queueing_in_stage_times=(percentile(latencies_ms, 50) - percentile(turns.latencies_alone_ms, 50)) / slowest_ms,
        window=turns.loaded[-1].window,
        frames=sum(run.frames for run in turns.loaded),
        turns=len(turns.loaded),
        cpu_invoke_ms_per_image=sum(invoke_ms),
        cpu_outside_invoke_ms_per_image=sum(outside_ms),
        cpu_outside_invoke_ms_per_mb=sum(outside_ms) / ((sum(received) + sum(sent)) / _BYTES_PER_MB),
        cpu_per_board_vs_one_board=statistics.fmean(service_ms) / one_service_ms,
        bytes_sent_per_image=sum(sent),
        bytes_raw_per_image=sum(raw),
        bytes_sent_of_hops=_listed(sent, ".0f"),
        bytes_raw_of_hops=_listed(raw, ".0f"),
        cpu_invoke_ms_of_boards=_listed(invoke_ms, ".3f"),
        cpu_outside_invoke_ms_of_boards=_listed(outside_ms, ".3f"),
        codecs_of_hops=" ".join(",".join(stage.codecs) or case.codec for stage in last),
        codec_reasons="; ".join(f"{stage.board}: {stage.reason}" for stage in last if stage.reason),
        largest_difference_of_answers=case.answers_difference,
        invoke_cpu_from="the service" if knows_invoke_cpu(turns) else "runs of the partitions alone",
        cuts=" ".join(map(str, case.cuts)),
    )


def _rate(turns: Turns) -> float:
    return statistics.median(run.images_per_s for run in turns.loaded)


def _bound_fields(bound: Bound, rate: float) -> dict[str, Any]:
    return {
        "bound_images_per_s": bound.images_per_s,
        "bound_by": bound.limited_by,
        "share_of_bound": rate / bound.images_per_s,
    }


def _ratio(rate: float, other: float | None) -> float | None:
    return None if other is None else rate / other


def _listed(values: Sequence[float], form: str) -> str:
    return " ".join(format(value, form) for value in values)

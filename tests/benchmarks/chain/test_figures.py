"""Arithmetic on replies."""

from __future__ import annotations

import pytest

from benchmarks.chain.figures import percentile, stages_alone, stages_loaded, steady_rate
from protos.v1.data_plane_pb2 import Codec, StageTiming
from tests.benchmarks.chain.replies import reply


def timing(**fields: object) -> StageTiming:
    return StageTiming(**fields)  # type: ignore[arg-type]


def test_alone_takes_the_median_of_each_stage() -> None:
    reports = [
        reply(timing(invoke_cpu_ns=ns, compute_ns=2 * ns), timing(compute_ns=4 * ns))
        for ns in (1_000_000, 3_000_000, 9_000_000)
    ]
    first, second = stages_alone(["pi1", "pi2"], reports)
    assert (first.board, first.invoke_cpu_ms, first.compute_ms) == ("pi1", 3.0, 6.0)
    assert (second.invoke_cpu_ms, second.compute_ms) == (None, 12.0)


def test_loaded_takes_the_counter_over_the_run_and_invoke_over_the_same_frames() -> None:
    reports = [
        reply(timing(service_cpu_ns=at * 1_000_000, invoke_cpu_ns=inside * 1_000_000, received_bytes=10, sent_bytes=4))
        for at, inside in ((100, 50), (110, 6), (130, 8))
    ]
    (stage,) = stages_loaded(["pi1"], reports)
    assert stage.service_cpu_ms == 15.0
    assert stage.invoke_cpu_ms == 7.0  # the first frame's was before the counter's first reading
    assert (stage.received_bytes, stage.sent_bytes, stage.raw_bytes) == (10, 4, 4)


def test_figures_of_a_frame_are_shared_by_its_images() -> None:
    reports = [
        reply(
            timing(
                service_cpu_ns=at * 4_000_000,
                invoke_cpu_ns=8_000_000,
                compute_ns=40_000_000,
                received_bytes=400,
                sent_bytes=100,
            )
        )
        for at in range(3)
    ]
    (alone,) = stages_alone(["pi1"], reports, batch=4)
    assert (alone.invoke_cpu_ms, alone.compute_ms) == (2.0, 10.0)
    (loaded,) = stages_loaded(["pi1"], reports, 4.0)
    assert (loaded.service_cpu_ms, loaded.invoke_cpu_ms) == (1.0, 2.0)
    assert (loaded.received_bytes, loaded.sent_bytes, loaded.raw_bytes) == (100, 25, 25)


def test_loaded_has_the_last_codecs_and_the_last_reason() -> None:
    reports = [
        reply(timing(sent_raw_bytes=9, codec_reason="the link is slow")),
        reply(timing(sent_raw_bytes=9, sent_codecs=[Codec.SHUFFLE_LZ4, Codec.RAW])),
    ]
    (stage,) = stages_loaded(["pi1"], reports)
    assert (stage.codecs, stage.reason, stage.raw_bytes) == (("shuffle-lz4", "raw"), "the link is slow", 9)
    assert stage.invoke_cpu_ms is None


@pytest.mark.parametrize(
    ("warm_up", "stop_s", "expected"),
    [(0, 4.0, 1.0), (2, 4.0, 1.0), (0, 9.0, 0.5), (9, 4.0, 0.2), (3, 0.5, 0.2)],
)
def test_rate_is_that_of_the_full_pipeline(warm_up: int, stop_s: float, expected: float) -> None:
    at_s = [1.0, 2.0, 3.0, 4.0, 9.0]
    assert steady_rate(at_s, warm_up, stop_s) == expected


def test_percentile_is_linear() -> None:
    assert percentile([1.0, 2.0], 50) == 1.5

"""The figures of a bench run hang together."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest

from bundle import Bundle
from dispatcher_client import Dispatcher
from dispatcher_client.bench import ReplyLog, run_bench
from examples.local_boards import LocalBoards


def test_figures_agree_with_one_another(boards: LocalBoards, zoo_bundle: Callable[..., Bundle]) -> None:
    bundle = zoo_bundle("residual", "float32")
    log = ReplyLog()
    done: list[int] = []
    with Dispatcher(bundle, boards.named, on_reply=log) as chain:
        sample = bundle.load_sample()[0]
        figures = run_bench(chain, log, itertools.repeat(sample), 40, done.append)
    assert done == list(range(1, 41))
    assert figures.frames == 40
    assert figures.share_of_bound == pytest.approx(figures.throughput_per_s / figures.bound_per_s)
    assert figures.latency_p50_ms <= figures.latency_p95_ms <= figures.latency_p99_ms
    assert [s.board for s in figures.stages] == ["board1", "board2", "board3"]
    assert sum(s.share_of_compute for s in figures.stages) == pytest.approx(1)
    slowest_ms = max(s.alone_ms for s in figures.stages)
    assert 1e3 / figures.bound_per_s >= slowest_ms * 0.999
    for left, right in itertools.pairwise(figures.stages):
        # What one board sends, the next receives: the same tensors and one header more or less.
        assert left.sent_bytes == pytest.approx(right.received_bytes, abs=400)
    # In times of the slowest step alone, which `bound_per_s` is the reciprocal of.
    added_ms = figures.latency_p50_ms - figures.latency_alone_p50_ms
    assert figures.queueing_in_stage_times == pytest.approx(added_ms * figures.bound_per_s / 1e3, rel=1e-3)
    assert 1 <= figures.window <= 16
    assert figures.as_json()["stages"][0]["stage"] == 0


def test_codecs_are_named_though_a_short_run_hears_no_reason_for_them(
    boards: LocalBoards, zoo_bundle: Callable[..., Bundle]
) -> None:
    bundle = zoo_bundle("residual", "float32")
    log = ReplyLog()
    with Dispatcher(bundle, boards.named, codec="half", on_reply=log) as chain:
        figures = run_bench(chain, log, itertools.repeat(bundle.load_sample()[0]), 5)
    assert [s.codec_reason for s in figures.stages] == ["half", "half", "half"]


def test_batch_is_counted_in_images(boards: LocalBoards, zoo_bundle: Callable[..., Bundle]) -> None:
    bundle = zoo_bundle("two_inputs", "float32", 3, 4)
    log = ReplyLog()
    done: list[int] = []
    with Dispatcher(bundle, boards.named, on_reply=log) as chain:
        sample = bundle.load_sample()[0]
        figures = run_bench(chain, log, itertools.repeat(sample), 20, done.append)
    assert done == list(range(1, 21))
    assert (figures.frames, figures.batch) == (20, 4)
    assert 20 <= sum(c.frames for c in figures.chains) <= 25  # 80 images, in full frames but where a thread was slow
    slowest_ms = max(s.alone_ms for s in figures.stages)
    assert figures.bound_per_s <= 4e3 / slowest_ms * 1.001
    assert figures.throughput_per_s == pytest.approx(figures.share_of_bound * figures.bound_per_s)
    assert 0 < figures.latency_p50_ms <= figures.latency_p99_ms

"""Histograms hold every frame once, in the bucket that it belongs to, however many threads note frames and ask."""

from __future__ import annotations

import bisect
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node_service.metrics import FrameStatistics, StageKey
from node_service.metrics.frame_statistics import _FOLD_AT, BOUNDS_S, TIMES, FrameFigures

KEY = StageKey("model-1", 0)
TIMES_NS = st.integers(0, 10**11)
FIGURES = st.builds(FrameFigures, *[TIMES_NS] * 7, *[st.integers(0, 2**33)] * 3)


@given(st.lists(FIGURES, min_size=1, max_size=50))
def test_every_frame_is_in_its_bucket(frames: list[FrameFigures]) -> None:
    statistics = FrameStatistics()
    for frame in frames:
        statistics.note(KEY, frame)
    stage = statistics.stages()[KEY]
    for index in range(len(TIMES)):
        expected = [0] * (len(BOUNDS_S) + 1)
        for frame in frames:
            expected[bisect.bisect_left(BOUNDS_S, frame[index] / 1e9)] += 1
        assert stage.counts[index].tolist() == expected
        assert stage.sums_s[index] == pytest.approx(sum(f[index] for f in frames) / 1e9)
    assert stage.frames == len(frames)
    assert stage.received_bytes == sum(f.received_bytes for f in frames)
    assert stage.sent_bytes == sum(f.sent_bytes for f in frames)
    assert stage.sent_raw_bytes == sum(f.sent_raw_bytes for f in frames)
    assert stage.invoke_cpu_s == pytest.approx(sum(f.invoke_cpu_ns for f in frames) / 1e9)


def test_bound_belongs_to_its_bucket() -> None:
    """Prometheus' `le`: less or equal."""
    statistics = FrameStatistics()
    statistics.note(KEY, FrameFigures(*[int(BOUNDS_S[-1] * 1e9)] * 7, 0, 0, 0))
    assert statistics.stages()[KEY].counts[0].tolist().index(1) == len(BOUNDS_S) - 1


def test_frames_that_are_noted_while_others_ask_are_neither_lost_nor_doubled() -> None:
    statistics, n_threads, each = FrameStatistics(), 4, 3 * _FOLD_AT
    frame = FrameFigures(*[1000] * 10)

    def note() -> None:
        for _ in range(each):
            statistics.note(KEY, frame)

    threads = [threading.Thread(target=note) for _ in range(n_threads)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        statistics.stages()
    for thread in threads:
        thread.join()
    stage = statistics.stages()[KEY]
    assert stage.frames == n_threads * each
    assert stage.counts.sum(axis=1).tolist() == [n_threads * each] * len(TIMES)


def test_deployment_that_is_gone_is_forgotten() -> None:
    statistics = FrameStatistics()
    other = StageKey("model-2", 1)
    for key in (KEY, StageKey("model-1", 1), other):
        statistics.note(key, FrameFigures(*[1] * 10))
    statistics.forget("model-1")
    assert list(statistics.stages()) == [other]

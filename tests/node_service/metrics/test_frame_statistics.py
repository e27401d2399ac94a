"""Histograms hold every frame once, in the bucket that it belongs to, however many threads note frames and ask."""

from __future__ import annotations

import bisect
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitoring.histograms import BOUNDS_S, FOLD_AT
from node_service.metrics import FrameStatistics, StageKey
from node_service.metrics.frame_statistics import TIMES, CodedBytes, FrameFigures, added_up
from protos.v1.data_plane_pb2 import LZ4, RAW

KEY = StageKey("model-1", 0)
TIMES_NS = st.integers(0, 10**11)
FIGURES = st.builds(FrameFigures, *[TIMES_NS] * 8, *[st.integers(0, 2**33)] * 5)


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
    assert stage.events == len(frames)
    for name in FrameFigures._fields[len(TIMES) :]:
        assert added_up(stage, name) == sum(getattr(f, name) for f in frames)


def test_bound_belongs_to_its_bucket() -> None:
    """Prometheus' `le`: less or equal."""
    statistics = FrameStatistics()
    statistics.note(KEY, FrameFigures._make([int(BOUNDS_S[-1] * 1e9)] * 8 + [0] * 5))
    assert statistics.stages()[KEY].counts[0].tolist().index(1) == len(BOUNDS_S) - 1


def test_frames_that_are_noted_while_others_ask_are_neither_lost_nor_doubled() -> None:
    statistics, n_threads, each = FrameStatistics(), 4, 3 * FOLD_AT
    frame = FrameFigures(*[1000] * 13)

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
    assert stage.events == n_threads * each
    assert stage.counts.sum(axis=1).tolist() == [n_threads * each] * len(TIMES)


def test_deployment_that_is_gone_is_forgotten() -> None:
    statistics = FrameStatistics()
    other = StageKey("model-2", 1)
    for key in (KEY, StageKey("model-1", 1), other):
        statistics.note(key, FrameFigures(*[1] * 13))
    statistics.forget("model-1")
    assert list(statistics.stages()) == [other]


def test_bytes_that_nobody_coded_are_raw() -> None:
    """Frames that are raw altogether say nothing of codecs; of the others each tensor does."""
    statistics = FrameStatistics()
    figures = FrameFigures(*[1] * 13)._replace(sent_bytes=100, sent_raw_bytes=100)
    statistics.note(KEY, figures)
    statistics.note(KEY, figures._replace(sent_bytes=70), [CodedBytes(LZ4, 30, 60), CodedBytes(RAW, 40, 40)])
    stage = statistics.stages()[KEY]
    assert statistics.sent_bytes(KEY, stage) == {LZ4: (30, 60), RAW: (140, 140)}
    statistics.forget(KEY.deployment_id)
    assert statistics.stages() == {}

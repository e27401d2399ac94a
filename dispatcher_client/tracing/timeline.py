"""Puts the times of boards, whose clocks have nothing to do with one another, on the dispatcher's time scale.

A frame cannot arrive before it was sent, nor be answered before its last stage was done. Over many frames, the fastest way
between two clocks leaves the least room: let d[k] be the least difference, over the frames, between the arrival at stage k (by its
clock) and the leaving of the step before (by the clock before), and b the least between the answer and the last stage's leaving.
The clocks' differences cancel in the sum s of all of these, which is the time of the fastest ways, there and back. It is shared
out evenly over the links, each of which is passed twice. That is Cristian's method (1989), along a chain and with many probes. No
instant is off by more than s.

Clocks drift, by some ten microseconds a second: each few seconds are aligned on their own.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from dispatcher_client.chain import ReplyReport

_NS_PER_S = 1e9
_ALIGNED_TOGETHER_S = 5.0


@dataclass(frozen=True)
class StageTimeline:
    """A frame in a stage; seconds on the dispatcher's scale (time.perf_counter). Between `computed_s` and `encoding_s` it may wait
    for the frame before to be sent."""

    stage_index: int
    arrived_s: float
    decoding_s: float
    computing_s: float
    computed_s: float
    encoding_s: float
    ready_s: float


@dataclass(frozen=True)
class FrameTimeline:
    """A frame from the dispatcher and back; seconds on its scale. `uncertainty_s`: no instant of a stage is further off."""

    report: ReplyReport
    stages: tuple[StageTimeline, ...]
    sent_s: float
    answered_s: float
    uncertainty_s: float


def timelines(reports: Iterable[ReplyReport]) -> list[FrameTimeline]:
    """All frames, in the order in which they were sent; those without a board's times (of an older version) are left out."""
    known = [r for r in reports if r.timings and all(t.arrived_ns for t in r.timings)]
    known.sort(key=_group)
    found = [
        timeline
        for _, group in groupby(known, key=lambda report: _group(report)[:-1])
        for timeline in _aligned(list(group))
    ]
    return sorted(found, key=lambda timeline: timeline.sent_s)


def _group(report: ReplyReport) -> tuple[int, str, int, int, float]:
    """Frames of a group went the same way at about the same time; the last element is when."""
    window = int(report.sent_at_s / _ALIGNED_TOGETHER_S)
    return report.chain_index, report.deployment_id, len(report.passed), window, report.sent_at_s


def _aligned(reports: Sequence[ReplyReport]) -> Iterator[FrameTimeline]:
    offsets_s, uncertainty_s = _offsets_s(reports)
    for report in reports:
        stages = []
        for timing, offset_s in zip(report.passed, offsets_s):
            arrived_s = timing.arrived_ns / _NS_PER_S - offset_s
            decoding_s = arrived_s + timing.wait_ns / _NS_PER_S
            computing_s = decoding_s + timing.decode_ns / _NS_PER_S
            ready_s = arrived_s + timing.ready_ns / _NS_PER_S
            stages.append(
                StageTimeline(
                    timing.stage_index,
                    arrived_s,
                    decoding_s,
                    computing_s,
                    computing_s + (timing.compute_ns + timing.pieces_wait_ns) / _NS_PER_S,
                    ready_s - timing.encode_ns / _NS_PER_S,
                    ready_s,
                )
            )
        answered_s = report.sent_at_s + report.latency_s
        yield FrameTimeline(report, tuple(stages), report.sent_at_s, answered_s, uncertainty_s)


def _offsets_s(reports: Sequence[ReplyReport]) -> tuple[list[float], float]:
    """What each stage's clock is ahead of the dispatcher's, and by how much that may be off."""
    n_stages = len(reports[0].passed)
    way_there_s = []
    for index in range(n_stages):
        way_there_s.append(min(_arrived_s(r, index) - _left_before_s(r, index) for r in reports))
    way_back_s = min(r.sent_at_s + r.latency_s - _left_before_s(r, n_stages) for r in reports)
    fastest_s = max(0.0, sum(way_there_s) + way_back_s)
    link_s = fastest_s / (2 * n_stages)
    offsets_s, offset_s = [], 0.0
    for apart_s in way_there_s:
        offset_s += apart_s - link_s
        offsets_s.append(offset_s)
    return offsets_s, fastest_s


def _arrived_s(report: ReplyReport, index: int) -> float:
    return report.passed[index].arrived_ns / _NS_PER_S


def _left_before_s(report: ReplyReport, index: int) -> float:
    """When the frame left the step before a stage, by that step's clock."""
    if index == 0:
        return report.sent_at_s
    timing = report.passed[index - 1]
    return (timing.arrived_ns + timing.ready_ns) / _NS_PER_S

"""Puts the times of boards, whose clocks have nothing to do with one another, on the dispatcher's time scale.

A frame cannot arrive before it was sent, nor be answered before its last stage was done. Over many frames, the fastest way
between two clocks leaves the least room: let d[k] be the least difference, over the frames, between the arrival at stage k (by its
clock) and the leaving of the step before (by the clock before), and b the least between the answer and the last stage's leaving.
The clocks' differences cancel in the sum s of all of these, which is the time of the fastest ways, there and back. It is shared
out evenly over the links, each of which is passed twice. That is Cristian's method (1989), along a chain and with many probes. No
instant is off by more than s.

The other boards of a group work beside its leader: one of them begins with a frame after the leader has, and is ready before the
leader encodes what leaves. The same method puts its clock between the two, and s/2 of this pair adds to the leader's uncertainty.

Clocks drift, by some ten microseconds a second: each few seconds are aligned on their own.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from dispatcher_client.chain import ReplyReport
from protos.v1.data_plane_pb2 import StageTiming

_NS_PER_S = 1e9
_ALIGNED_TOGETHER_S = 5.0


@dataclass(frozen=True)
class StageTimeline:
    """A frame on a board; seconds on the dispatcher's scale (time.perf_counter). Between `computed_s` and `encoding_s` it may wait
    for the frame before to be sent.

    A board of a group computes and waits for pieces in turns. Only the sums are known, and are shown one after the other: what it
    waits begins at `waiting_s`.

    Attributes:
        uncertainty_s: no instant is further off.
        others: the other boards of a group, beside the leader's.
    """

    timing: StageTiming
    arrived_s: float
    decoding_s: float
    computing_s: float
    waiting_s: float
    computed_s: float
    encoding_s: float
    ready_s: float
    uncertainty_s: float
    others: tuple[StageTimeline, ...] = ()

    @property
    def stage_index(self) -> int:
        """Its place among the deployment's stages."""
        return self.timing.stage_index

    @property
    def boards(self) -> tuple[StageTimeline, ...]:
        """All that serve the stage, the leader first."""
        return (self, *self.others)


@dataclass(frozen=True)
class FrameTimeline:
    """A frame from the dispatcher and back; seconds on its scale. `uncertainty_s` is that of the stages which it passed."""

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
    return report.chain_index, report.deployment_id, len(report.timings), window, report.sent_at_s


def _aligned(reports: Sequence[ReplyReport]) -> Iterator[FrameTimeline]:
    offsets_s, uncertainty_s = _offsets_s(reports)
    groups = list(zip(*(report.by_stage for report in reports)))  # of each stage, its boards' timings of each frame
    others_s = [_others_s(timings) for timings in groups]
    for number, report in enumerate(reports):
        stages = tuple(
            _on_scale(
                timings[number][0],
                offset_s,
                uncertainty_s,
                tuple(
                    _on_scale(timing, offset_s + ahead_s, uncertainty_s + off_s)
                    for timing, (ahead_s, off_s) in zip(timings[number][1:], aheads_s)
                ),
            )
            for timings, offset_s, aheads_s in zip(groups, offsets_s, others_s)
        )
        answered_s = report.sent_at_s + report.latency_s
        yield FrameTimeline(report, stages, report.sent_at_s, answered_s, uncertainty_s)


def _on_scale(
    timing: StageTiming, offset_s: float, uncertainty_s: float, others: tuple[StageTimeline, ...] = ()
) -> StageTimeline:
    arrived_s = timing.arrived_ns / _NS_PER_S - offset_s
    decoding_s = arrived_s + timing.wait_ns / _NS_PER_S
    computing_s = decoding_s + timing.decode_ns / _NS_PER_S
    waiting_s = computing_s + timing.compute_ns / _NS_PER_S
    ready_s = arrived_s + timing.ready_ns / _NS_PER_S
    return StageTimeline(
        timing,
        arrived_s,
        decoding_s,
        computing_s,
        waiting_s,
        waiting_s + timing.pieces_wait_ns / _NS_PER_S,
        ready_s - timing.encode_ns / _NS_PER_S,
        ready_s,
        uncertainty_s,
        others,
    )


def _others_s(groups: Sequence[Sequence[StageTiming]]) -> list[tuple[float, float]]:
    """What the clock of each other board of a group is ahead of its leader's, and by how much that may be off."""
    found = []
    for place in range(1, len(groups[0])):
        there_ns = min(group[place].arrived_ns - _begun_ns(group[0]) for group in groups)
        back_ns = min(_encoding_ns(group[0]) - group[place].arrived_ns - group[place].ready_ns for group in groups)
        off_s = max(0, there_ns + back_ns) / _NS_PER_S / 2
        found.append((there_ns / _NS_PER_S - off_s, off_s))
    return found


def _begun_ns(leader: StageTiming) -> int:
    return leader.arrived_ns + leader.wait_ns + leader.decode_ns


def _encoding_ns(leader: StageTiming) -> int:
    return leader.arrived_ns + leader.ready_ns - leader.encode_ns


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

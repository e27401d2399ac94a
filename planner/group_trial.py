"""A group of boards in service for a moment: how long one frame really takes, and what that says of the model of it.

Operators measured one by one, and links measured with empty frames, do not add up to a group's frame: runs evict one another's
weights, a message that wakes a busy board costs more than one that comes to an idle board. So the best way to share is tried
beside the board alone. Two factors then make both predictions right, one for what boards compute and one for each strip and
message, and the search goes on with them until it finds nothing new.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

from bundle.shares.message import group_partitions
from fleet.inventory import Board
from partitioning import Graph
from partitioning.boundaries import partition_between
from partitioning.runtime_floor import read_runtime_floor
from partitioning.strips import SharedSegment, StripSpec, extract_strip
from partitioning.strips.costs import BoardTimes, GroupLinks, SpanTimes
from partitioning.strips.search import SharedPlan, plan_shared, time_segments
from planner.board_profiles import ProfileSettings
from planner.model import Segment
from planner.service_trial import ServedStage, serve_for_a_moment
from planner.shared_plan import LEAST_GAIN, busy_boards, busy_segments
from planner.strip_times import StripModel
from protos.v1.manifest_pb2 import ModelFile

_ROUNDS = 3
# Frames that a trial is given time for, as far as they are foreseen: under quotas of processor time single frames differ much.
_FRAMES = 12
# A trial that something disturbed must not lead the search where no board is.
_LEAST_FACTOR, _LARGEST_FACTOR = 0.25, 8.0


@dataclass(frozen=True)
class TriedSharing:
    """A way to share a model, and what it took in service. Attributes: latency_s: one frame's, from this machine and back."""

    shared: SharedPlan
    latency_s: float


@dataclass(frozen=True)
class SharingTrials:
    """The quickest way that was tried, None if no way is foreseen to gain; and the first board alone, tried beside it."""

    alone_s: float
    best: TriedSharing | None

    @property
    def is_gain(self) -> bool:
        """Whether the best is worth its boards."""
        return self.best is not None and self.best.latency_s <= (1 - LEAST_GAIN) * self.alone_s


async def try_sharings(
    model: StripModel,
    boards: Sequence[Board],
    costs: Sequence[BoardTimes],
    links: GroupLinks,
    moving_s: float,
    settings: ProfileSettings,
) -> SharingTrials:
    """Searches, tries what was found, and searches again with what the trial has taught; then tries the best once more.

    The quickest of several trials is so by chance, too: what it is said to take is what it takes the second time.

    Args: boards, costs: the leader's first. moving_s: what a frame takes from this machine to the leader, and its answer back.
    Raises: BoardError, ProbeError: see `serve_for_a_moment`.
    """
    places = model.places[1:-1]
    found = plan_shared(model.graph, costs, links, places)
    foreseen_s = float(costs[0].whole_s.sum())
    ops = 0, len(model.graph.operators)

    async def try_alone() -> float:
        return await try_stage(model.graph, ops, (), boards[:1], foreseen_s, settings)

    async def try_plan(shared: SharedPlan) -> float:
        busy = [boards[b] for b in busy_boards(shared)]
        return await try_stage(model.graph, ops, busy_segments(shared), busy, shared.time.latency_s, settings)

    alone_s = await try_alone()
    computing = max(alone_s - moving_s, _LEAST_FACTOR * foreseen_s) / foreseen_s
    corrected = [scaled(of_board, computing, 1.0) for of_board in costs]
    tried: dict[tuple[SharedSegment, ...], TriedSharing] = {}
    for _ in range(_ROUNDS):
        if len(busy_boards(found)) == 1 or found.segments in tried:
            break
        took_s = await try_plan(found)
        tried[found.segments] = TriedSharing(found, took_s)
        factor = _overhead_factor(model.graph, found.segments, corrected, links, took_s - moving_s)
        corrected = [scaled(of_board, 1.0, factor) for of_board in corrected]
        found = plan_shared(model.graph, corrected, links, places)
    if not tried:
        return SharingTrials(alone_s, None)
    best = min(tried.values(), key=lambda one: one.latency_s).shared
    again_s = await try_plan(best)
    return SharingTrials(await try_alone(), TriedSharing(best, again_s))


async def try_stage(
    graph: Graph,
    ops: tuple[int, int],
    segments: Sequence[SharedSegment],
    boards: Sequence[Board],
    foreseen_s: float,
    settings: ProfileSettings,
) -> float:
    """Seconds from sending operators [start, stop) a frame until the answer is here, one at a time: the median.

    Args: segments: none for one board alone. foreseen_s: about how long it takes.
    Raises: BoardError, ProbeError.
    """
    stage = _stage(graph, ops, segments, boards)
    longer = replace(settings, budget_s=max(settings.budget_s, _FRAMES * foreseen_s))
    return (await serve_for_a_moment([stage], read_runtime_floor(graph), 1, longer)).median_s


def _stage(
    graph: Graph, ops: tuple[int, int], segments: Sequence[SharedSegment], boards: Sequence[Board]
) -> ServedStage:
    """Strips are written anew when a board needs one: of a large model they do not fit into memory together."""
    if not segments:
        return ServedStage.of_segment(graph, Segment.extract(graph, ops), *boards)
    strips: dict[str, StripSpec] = {}

    def add_strip(strip: StripSpec) -> ModelFile:
        data = extract_strip(graph, strip)
        sha256 = hashlib.sha256(data).hexdigest()
        strips[sha256] = strip
        return ModelFile(path=f"{sha256}.tflite", sha256=sha256, size_bytes=len(data))

    partitions = group_partitions(graph, partition_between(graph, *ops), segments, add_strip)
    return ServedStage(tuple(boards), tuple(partitions), lambda sha256: extract_strip(graph, strips[sha256]))


def scaled(times: BoardTimes, computing: float, overhead: float) -> BoardTimes:
    """As of a board that takes so many times as long for operators, and for each strip and message."""
    shared = {key: SpanTimes(of.counts, of.seconds * computing) for key, of in times.shared.items()}
    message = replace(times.message, fixed_s=times.message.fixed_s * overhead)
    return BoardTimes(times.whole_s * computing, shared, times.strip_s * overhead, message)


def _overhead_factor(
    graph: Graph, segments: Sequence[SharedSegment], boards: Sequence[BoardTimes], links: GroupLinks, took_s: float
) -> float:
    """By how much strips and messages must cost more for the segments to take so long: nearly a straight line."""
    once_s, twice_s = (
        time_segments(graph, [scaled(of, 1.0, factor) for of in boards], links, segments).time.latency_s
        for factor in (1.0, 2.0)
    )
    if twice_s <= once_s:
        return 1.0
    return min(max(1.0 + (took_s - once_s) / (twice_s - once_s), _LEAST_FACTOR), _LARGEST_FACTOR)

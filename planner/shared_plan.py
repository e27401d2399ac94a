"""A model shared by a group of boards, so that one answer comes soonest: from measured strips and links to a plan."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from bundle.plan import Plan, PlannedChain, PlannedSegment, PlannedStage
from fleet.inventory import DISPATCHER
from partitioning import Graph
from partitioning.strips import SharedAxis, SharedSegment, plan_group
from partitioning.strips.costs import BoardTimes, FloatArray, GroupLinks, MessageCost
from partitioning.strips.search import SharedPlan, time_segments
from planner.board_profiles import BoardRecord
from planner.errors import WishError
from planner.links import MeasuredLinks
from planner.strip_times import StripModel

# What a group gains less than this is not worth its boards, and no more than what measurements vary by.
LEAST_GAIN = 0.03


def group_costs(
    records: Mapping[str, BoardRecord], times: Sequence[BoardTimes], links: MeasuredLinks
) -> tuple[list[BoardTimes], GroupLinks]:
    """What boards and links take, with what messages cost the boards.

    Args: records: the boards in order, the first is the leader; times: theirs.
    """
    messages = [_message_cost(record, links) for record in records.values()]
    costs = [replace(of_board, message=message) for of_board, message in zip(times, messages)]
    return costs, group_links(*_delays_and_speeds(list(records), links), messages)


def moving_s(graph: Graph, leader: str, cost: MessageCost, links: MeasuredLinks) -> float:
    """What a frame takes from the dispatcher to the leader, and its answer back. Args: cost: the leader's of messages."""
    there, back = links.speeds[DISPATCHER, leader], links.speeds[leader, DISPATCHER]
    n_in, n_out = (sum(graph.tensors[t].size_bytes for t in tensors) for tensors in (graph.inputs, graph.outputs))
    busy_s = n_in * cost.receive_s_per_byte + n_out * cost.send_s_per_byte
    return busy_s + n_in / there.bytes_per_s + n_out / back.bytes_per_s + there.round_trip_s


def plan_of(name: str, boards: Sequence[str], found: SharedPlan) -> Plan:
    """Of the boards that have work."""
    busy = busy_boards(found)
    names = [boards[b] for b in busy]
    stage = PlannedStage(names[0], None, tuple(names[1:]), planned_segments(found.segments, busy))
    if len(busy) == 1:
        stage = PlannedStage(names[0])
    return Plan(name, "latency", (PlannedChain((stage,)),))


def time_sharing(
    model: StripModel,
    segments: Sequence[SharedSegment],
    records: Mapping[str, BoardRecord],
    times: Sequence[BoardTimes],
    links: MeasuredLinks,
) -> SharedPlan:
    """What boards do that share the model in these segments. Args: records, times: as for `group_costs`."""
    costs, between = group_costs(records, times, links)
    return time_segments(model.graph, costs, between, segments)


def given_segments(model: StripModel, stage: PlannedStage, ops: tuple[int, int]) -> list[SharedSegment]:
    """The segments of a plan's stage, which is operators [start, stop).

    Raises: WishError: they leave operators out, or begin where nothing is measured. SegmentError: operators cannot be shared so.
    """
    segments = shared_segments(stage, *ops)
    inside = [segment.start_op for segment in segments if segment.start_op not in model.places]
    if inside:
        raise WishError(
            f"segments of board {stage.board} begin at {', '.join(map(str, inside))}, where the model cannot be cut. Move them to "
            "a cut: python -m converter cuts MODEL."
        )
    plan_group(model.graph, segments)
    return segments


def shared_segments(stage: PlannedStage, start_op: int, stop_op: int) -> list[SharedSegment]:
    """A stage's segments, as `plan_group` takes them. Raises WishError unless they cover the stage's operators."""
    if not stage.segments:
        raise WishError(
            f"boards {', '.join(stage.boards)} share a stage, and the plan does not say how: it has no segments."
        )
    untils = [stop_op if segment.until is None else segment.until for segment in stage.segments]
    edges = [start_op, *untils]
    if untils[-1] != stop_op or sorted(set(edges)) != edges:
        raise WishError(
            f"the segments of board {stage.board} end at {', '.join(map(str, untils))}; expected rising numbers from "
            f"{start_op} to {stop_op}."
        )
    return [
        SharedSegment(begin, end, SharedAxis(segment.by) if segment.by else None, segment.shares)
        for begin, end, segment in zip(edges, untils, stage.segments)
    ]


def busy_boards(found: SharedPlan) -> list[int]:
    """The leader, and the boards that compute anything: a small share may come to no row at all."""
    steps = found.group.steps
    return [b for b in range(len(steps[0].strips)) if b == 0 or any(step.strips[b] is not None for step in steps)]


def busy_segments(found: SharedPlan) -> list[SharedSegment]:
    """With the shares of the boards that have work."""
    busy = busy_boards(found)
    return [replace(segment, shares=tuple(segment.shares[b] for b in busy)) for segment in found.segments]


def planned_segments(segments: Sequence[SharedSegment], boards: Sequence[int]) -> tuple[PlannedSegment, ...]:
    """As a plan has them. Args: boards: those that have work, by their places."""
    last = len(segments) - 1
    return tuple(
        PlannedSegment(
            segment.axis.value if segment.axis is not None else "",
            tuple(round(segment.shares[b] / sum(segment.shares), 6) for b in boards),
            None if index == last else segment.stop_op,
        )
        for index, segment in enumerate(segments)
    )


def message_cost(
    frame_cpu_s: float, receive_cpu_s_per_byte: float, send_cpu_s_per_byte: float, cores: float
) -> MessageCost:
    """Of a board's processor seconds: a frame of a probe is a message that comes and one that goes."""
    return MessageCost(frame_cpu_s / 2 / cores, receive_cpu_s_per_byte / cores, send_cpu_s_per_byte / cores)


def _message_cost(record: BoardRecord, links: MeasuredLinks) -> MessageCost:
    cost = links.transport.get(record.board.name)
    if cost is None:
        return MessageCost()
    cores = record.description.usable_cores
    return message_cost(cost.frame_cpu_s, cost.receive_cpu_s_per_byte, cost.send_cpu_s_per_byte, cores)


def _delays_and_speeds(names: Sequence[str], links: MeasuredLinks) -> tuple[FloatArray, FloatArray]:
    """(n, n) seconds one way, and bytes per second, by sender and receiver."""
    n = len(names)
    delay_s, bytes_per_s = np.zeros((n, n)), np.full((n, n), np.inf)
    for i, sender in enumerate(names):
        for j, receiver in enumerate(names):
            if i != j:
                speed = links.speeds[sender, receiver]
                delay_s[i, j], bytes_per_s[i, j] = speed.round_trip_s / 2, speed.bytes_per_s
    return delay_s, bytes_per_s


def group_links(delay_s: FloatArray, bytes_per_s: FloatArray, messages: Sequence[MessageCost]) -> GroupLinks:
    """What pieces between boards take, without what the boards are busy with each message.

    Args:
        delay_s, bytes_per_s: (n, n) of each link, by sender and receiver.
        messages: (n,) what each board is busy with a message.
    """
    fixed_s = [message.fixed_s for message in messages]
    return GroupLinks(np.maximum(0.0, delay_s - np.add.outer(fixed_s, fixed_s)), 1 / bytes_per_s)

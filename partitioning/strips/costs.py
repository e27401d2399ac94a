"""How long a group of boards takes for one frame, from what was measured of operators and links."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from partitioning.graph import Graph
from partitioning.strips.group import GroupPlan, piece_bytes
from partitioning.strips.programs import Message, list_messages
from partitioning.strips.segment import StripSpec
from partitioning.strips.spans import SharedAxis

Array = np.ndarray[Any, Any]
FloatArray = np.ndarray[Any, np.dtype[np.float64]]


@dataclass(frozen=True)
class SpanTimes:
    """Seconds of one operator by how many rows, or channels, of its result it computes: linear between what was measured.

    Attributes: counts, seconds: (n,) both rising; the last is the whole.
    """

    counts: FloatArray
    seconds: FloatArray

    def at(self, count: int) -> float:
        """Below the smallest that was measured it takes as long as that: what is fixed stays."""
        return float(np.interp(count, self.counts, self.seconds))


@dataclass(frozen=True)
class MessageCost:
    """Seconds that a board is busy with a message, computing nothing: whatever is in it, and per byte that comes or goes."""

    fixed_s: float = 0.0
    receive_s_per_byte: float = 0.0
    send_s_per_byte: float = 0.0


@dataclass(frozen=True)
class BoardTimes:
    """What one board takes.

    Attributes:
        whole_s: (n_ops,) seconds of each operator for all of its result.
        shared: of operators that can be shared, by axis and op index.
        strip_s: seconds of each strip beside its operators: filling its inputs, starting the runtime.
        message: what sending and receiving costs it.
    """

    whole_s: FloatArray
    shared: Mapping[tuple[SharedAxis, int], SpanTimes]
    strip_s: float = 0.0
    message: MessageCost = MessageCost()

    def strip_time_s(self, graph: Graph, strip: StripSpec) -> float:
        """Seconds of one strip."""
        if strip.axis is None:
            return self.strip_s + float(self.whole_s[strip.start_op : strip.stop_op].sum())
        seconds = self.strip_s
        for op in graph.operators[strip.start_op : strip.stop_op]:
            given = [strip.spans[t] for t in op.outputs if t in strip.spans]
            if given:
                seconds += self.shared[strip.axis, op.op_index].at(given[0].count)
        return seconds


@dataclass(frozen=True)
class GroupLinks:
    """What boards take to send to one another.

    Attributes:
        latency_s: (n, n) seconds from a sender's last byte to where the receiver has it, by sender and receiver.
        s_per_byte: (n, n) seconds that a byte keeps the sender's and the receiver's side of the link busy.
    """

    latency_s: FloatArray
    s_per_byte: FloatArray

    def among(self, boards: slice) -> GroupLinks:
        """The links of some of the boards."""
        return GroupLinks(self.latency_s[boards, boards], self.s_per_byte[boards, boards])


@dataclass(frozen=True)
class GroupTime:
    """One frame, from when the first board has it until it has what leaves.

    Attributes:
        latency_s: all of it.
        compute_s: (n,) what each board computed.
        sent_bytes: all transfers together.
    """

    latency_s: float
    compute_s: FloatArray
    sent_bytes: int


def time_group(graph: Graph, plan: GroupPlan, boards: Sequence[BoardTimes], links: GroupLinks) -> GroupTime:
    """Follows one frame through a plan, event by event.

    What a board computed is sent at once, in the plan's order; each side of a link takes one message at a time; a board computes
    its steps in order, each once all of its messages have come, and does nothing else while it is busy with a message.
    """
    n = len(boards)
    done_s, out_s, in_s = [0.0] * n, [0.0] * n, [0.0] * n  # by board: computing, and each side of its link
    compute_s = np.zeros(n)
    messages = list_messages(plan)
    arrived_s: dict[Message, float] = {}
    message_bytes = {m: sum(piece_bytes(graph, piece) for piece in m.pieces) for m in messages}

    def send(made: int) -> None:
        for m in messages:
            if m.made == made:
                cost = boards[m.source].message
                done_s[m.source] += cost.fixed_s + cost.send_s_per_byte * message_bytes[m]
                busy_s = float(links.s_per_byte[m.source, m.target]) * message_bytes[m]
                start_s = max(done_s[m.source], out_s[m.source], in_s[m.target])
                out_s[m.source] = in_s[m.target] = start_s + busy_s
                arrived_s[m] = start_s + busy_s + float(links.latency_s[m.source, m.target])

    def receive(needed: int) -> None:
        for m in messages:
            if m.needed == needed:
                cost = boards[m.target].message
                busy_s = cost.fixed_s + cost.receive_s_per_byte * message_bytes[m]
                done_s[m.target] = max(done_s[m.target], arrived_s[m]) + busy_s

    send(-1)
    for index, step in enumerate(plan.steps):
        receive(index)
        for board, strip in enumerate(step.strips):
            if strip is not None:
                took_s = boards[board].strip_time_s(graph, strip)
                compute_s[board] += took_s
                done_s[board] += took_s
        send(index)
    receive(len(plan.steps))
    return GroupTime(done_s[0], compute_s, sum(message_bytes.values()))

"""A group's plan as each of its boards follows it: what to receive, to compute and to send for one frame, in order."""

from __future__ import annotations

import itertools
from collections import defaultdict
from dataclasses import dataclass
from typing import Union

from partitioning.strips.group import GroupPlan, Piece, Transfer
from partitioning.strips.segment import StripSpec


@dataclass(frozen=True)
class Receive:
    """Waits for a piece that another board sends; `transfer` counts those of the whole group."""

    transfer: int
    peer: int
    piece: Piece


@dataclass(frozen=True)
class Send:
    """Sends a piece that this board computed, or that arrived at the group."""

    transfer: int
    peer: int
    piece: Piece


@dataclass(frozen=True)
class Compute:
    """Runs a strip on what the board has by now."""

    strip: StripSpec


Action = Union[Receive, Send, Compute]


def list_programs(plan: GroupPlan) -> list[list[Action]]:
    """What each board does, in the group's order of boards.

    A board sends as soon as it has computed, first what is needed first; it receives as late as it may, so that what it computes
    meanwhile hides the way.
    """
    n_boards = len(plan.steps[0].strips)
    numbers = itertools.count()
    numbered = [
        [(next(numbers), t) for t in transfers] for transfers in (*(s.transfers for s in plan.steps), plan.gathering)
    ]
    made_in = [{t for strip in step.strips if strip is not None for t in strip.outputs} for step in plan.steps]
    leaving: defaultdict[int, list[tuple[int, Transfer]]] = defaultdict(
        list
    )  # by the step that made it; -1: it arrived
    for transfers in numbered:
        for number, transfer in transfers:
            made = [step for step, tensors in enumerate(made_in) if transfer.piece.tensor_index in tensors]
            leaving[made[0] if made else -1].append((number, transfer))
    programs: list[list[Action]] = [[] for _ in range(n_boards)]

    def send(step_index: int) -> None:
        for number, transfer in leaving[step_index]:
            programs[transfer.source].append(Send(number, transfer.target, transfer.piece))

    def receive(step_index: int) -> None:
        for number, transfer in numbered[step_index]:
            programs[transfer.target].append(Receive(number, transfer.source, transfer.piece))

    send(-1)
    for index, step in enumerate(plan.steps):
        receive(index)
        for program, strip in zip(programs, step.strips):
            if strip is not None:
                program.append(Compute(strip))
        send(index)
    receive(len(plan.steps))
    return programs

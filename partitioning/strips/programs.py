"""A group's plan as each of its boards follows it: what to receive, to compute and to send for one frame, in order."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Union

from partitioning.strips.group import GroupPlan, Piece, Transfer
from partitioning.strips.segment import StripSpec


@dataclass(frozen=True)
class Receive:
    """Waits for pieces that another board sends in one message; `transfer` counts the messages of the whole group."""

    transfer: int
    peer: int
    pieces: tuple[Piece, ...]


@dataclass(frozen=True)
class Send:
    """Sends pieces that this board computed, or that were brought to it."""

    transfer: int
    peer: int
    pieces: tuple[Piece, ...]


@dataclass(frozen=True)
class Compute:
    """Runs a strip on what the board has by now."""

    strip: StripSpec


Action = Union[Receive, Send, Compute]


@dataclass(frozen=True)
class Message:
    """All that one board sends another one for one step, once the last of it is computed.

    Attributes: made, needed: the steps after which it leaves, -1 if all arrived at the group, and before which it is waited for.
    """

    source: int
    target: int
    made: int
    needed: int
    pieces: tuple[Piece, ...]


def list_messages(plan: GroupPlan) -> list[Message]:
    """What boards send one another, in the order in which it is needed: a message costs more than most pieces do."""
    made_in: dict[tuple[int, int], int] = {}  # by board and tensor
    for index, step in enumerate(plan.steps):
        computing = [(board, strip) for board, strip in enumerate(step.strips) if strip is not None]
        made_in.update(((board, t), index) for board, strip in computing for t in strip.outputs)
        if not computing:
            made_in.update(((brought.target, brought.piece.tensor_index), index) for brought in step.transfers)
    found: list[Message] = []
    for needed, transfers in enumerate([*(step.transfers for step in plan.steps), plan.gathering]):
        for (source, target), of_pair in _by_pair(transfers).items():
            made = max(made_in.get((source, piece.tensor_index), -1) for piece in of_pair)
            found.append(Message(source, target, made, needed, tuple(of_pair)))
    return found


def list_programs(plan: GroupPlan) -> list[list[Action]]:
    """What each board does, in the group's order of boards.

    A board sends as soon as it has computed, first what is needed first; it receives as late as it may, so that what it computes
    meanwhile hides the way.
    """
    messages = list(enumerate(list_messages(plan)))
    programs: list[list[Action]] = [[] for _ in plan.steps[0].strips]

    def send(step_index: int) -> None:
        for number, message in messages:
            if message.made == step_index:
                programs[message.source].append(Send(number, message.target, message.pieces))

    def receive(step_index: int) -> None:
        for number, message in messages:
            if message.needed == step_index:
                programs[message.target].append(Receive(number, message.source, message.pieces))

    send(-1)
    for index, step in enumerate(plan.steps):
        receive(index)
        for program, strip in zip(programs, step.strips):
            if strip is not None:
                program.append(Compute(strip))
        send(index)
    receive(len(plan.steps))
    return programs


def _by_pair(transfers: Iterable[Transfer]) -> dict[tuple[int, int], list[Piece]]:
    found: dict[tuple[int, int], list[Piece]] = {}
    for transfer in transfers:
        found.setdefault((transfer.source, transfer.target), []).append(transfer.piece)
    return found

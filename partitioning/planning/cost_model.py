"""From what was measured (operators, boards, links) to the costs that a planner searches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from partitioning.planning.problem import ChainProblem, FloatArray, PlanningError

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class ModelCosts:
    """What a model costs wherever it runs.

    Attributes:
        resident_bytes: (n_ops,) memory that each operator keeps (its constants, as the runtime packs them).
        working_bytes: (n_ops,) memory that each operator needs while it runs; operators take turns in it.
        crossing_bytes: (n_ops + 1,) bytes alive before each operator; first the model's inputs, last its outputs.
        positions: rising places where the model may be cut, 0 and n_ops among them.
    """

    resident_bytes: FloatArray
    working_bytes: FloatArray
    crossing_bytes: FloatArray
    positions: Array

    def __post_init__(self) -> None:
        n_ops = len(self.resident_bytes)
        if len(self.working_bytes) != n_ops or len(self.crossing_bytes) != n_ops + 1:
            raise PlanningError(
                f"costs of {n_ops} operators come with {len(self.working_bytes)} working sizes and "
                f"{len(self.crossing_bytes)} crossing sizes, expected {n_ops} and {n_ops + 1}."
            )
        places = list(self.positions)
        if len(places) < 2 or places != sorted(set(places)) or places[0] != 0 or places[-1] != n_ops:
            raise PlanningError(f"positions are {places}, expected to rise from 0 to {n_ops}.")


@dataclass(frozen=True)
class BoardCosts:
    """What a board costs, as measured on it.

    Attributes:
        op_s: (n_ops,) seconds per operator.
        stage_overhead_s: seconds that every stage costs, whatever is in it.
        move_s_per_byte: its processor's time per byte that comes in or goes out; 0 if it has a core to spare for that.
        memory_bytes: its limit, for one stage and the frames in it.
        measured_s: (first, last) operator, half open -> seconds of that partition measured whole; such a time replaces
            the sum.
    """

    name: str
    op_s: FloatArray
    stage_overhead_s: float = 0.0
    move_s_per_byte: float = 0.0
    memory_bytes: float = np.inf
    measured_s: Mapping[tuple[int, int], float] = field(default_factory=dict)

    def with_memory(self, memory_bytes: float) -> BoardCosts:
        """The same board with another limit."""
        return replace(self, memory_bytes=memory_bytes)


@dataclass(frozen=True)
class LinkCosts:
    """Every pair's link, the dispatcher last: (n_boards + 1, n_boards + 1) bytes per second, and seconds per frame."""

    bytes_per_s: FloatArray
    frame_s: FloatArray


def stage_bytes(model: ModelCosts) -> FloatArray:
    """(n_positions, n_positions) memory of a stage: what its operators keep, the most that one works in, its frames twice.

    Twice, because while one frame is computed the next has come and the last has not left.
    """
    at = model.positions
    kept = np.concatenate([[0.0], np.cumsum(model.resident_bytes)])[at]
    frames = 2 * model.crossing_bytes[at]
    working = _largest_within(model.working_bytes, at)
    needed: FloatArray = kept[None, :] - kept[:, None] + working + frames[:, None] + frames[None, :]
    return needed


def build_problem(model: ModelCosts, boards: Sequence[BoardCosts], links: LinkCosts) -> ChainProblem:
    """The planner's problem, over the model's positions.

    stage(i, j) = overhead + sum of op_s + move_s_per_byte * (bytes at i + bytes at j), or the time measured whole with the same
    moving; inf beyond the board's memory. link(c) = seconds per frame + bytes at c / bytes per second.
    Raises: PlanningError: sizes that do not fit together.
    """
    at = model.positions
    crossing = model.crossing_bytes[at]
    needed_bytes = stage_bytes(model)
    backwards = np.tril_indices(len(at))
    stages = []
    for board in boards:
        if len(board.op_s) != len(model.resident_bytes):
            raise PlanningError(
                f"board {board.name} has times of {len(board.op_s)} operators, the model has {len(model.resident_bytes)}."
            )
        total_s = np.concatenate([[0.0], np.cumsum(board.op_s)])[at]
        compute_s = total_s[None, :] - total_s[:, None] + board.stage_overhead_s
        place = {int(position): index for index, position in enumerate(at)}
        for (first, last), seconds in board.measured_s.items():
            if first in place and last in place:
                compute_s[place[first], place[last]] = seconds
        stage_s = compute_s + board.move_s_per_byte * (crossing[:, None] + crossing[None, :])
        stage_s[needed_bytes > board.memory_bytes] = np.inf
        stage_s[backwards] = np.inf
        stages.append(stage_s)
    link_s = links.frame_s[:, :, None] + crossing / links.bytes_per_s[:, :, None]
    return ChainProblem(np.array(stages), link_s, crossing)


def _largest_within(values: FloatArray, at: Array) -> FloatArray:
    """(n_positions, n_positions) the largest value between two positions, 0 where the second is not after the first."""
    per_piece = np.maximum.reduceat(values, at[:-1])  # (n_positions - 1,)
    largest = np.zeros((len(at), len(at)))
    for start in range(len(at) - 1):
        largest[start, start + 1 :] = np.maximum.accumulate(per_piece[start:])
    return largest

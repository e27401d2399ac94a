"""From what was measured (operators, boards, links) to the costs that a planner searches."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from partitioning.planning.problem import ChainProblem, FloatArray, PlanningError

Array = np.ndarray[Any, Any]

# Passing on an answer, against a frame: it is not unpacked, and nothing is computed from it.
RELAY_SHARE = 0.25


@dataclass(frozen=True)
class ModelCosts:
    """What a model costs wherever it runs.

    Attributes:
        crossing_bytes: (n_ops + 1,) bytes alive before each operator; first the model's inputs, last its outputs.
        positions: rising places where the model may be cut, 0 and n_ops among them.
    """

    crossing_bytes: FloatArray
    positions: Array

    def __post_init__(self) -> None:
        places = list(self.positions)
        if len(places) < 2 or places != sorted(set(places)) or places[0] != 0 or places[-1] != self.n_ops:
            raise PlanningError(f"positions are {places}, expected to rise from 0 to {self.n_ops}.")

    @property
    def n_ops(self) -> int:
        """Operators of the model."""
        return len(self.crossing_bytes) - 1


@dataclass(frozen=True)
class MeasuredStage:
    """A partition that was measured whole on a board; takes the place of the sums over its operators.

    Attributes:
        compute_s: wall seconds per inference.
        compute_cpu_s: processor seconds per inference, of all threads.
        resident_bytes: memory that it keeps.
        working_bytes: memory that it needs while it runs.
        joules: per inference; None if the board has no sensor, then the operators' sum holds, if there is one.
        service_cpu_s: processor seconds per frame with the stage in service: computing, moving its frames and the answers of
            the boards behind, and what these cost each other; None if that was not measured, then they are added.
    """

    compute_s: float
    compute_cpu_s: float
    resident_bytes: float
    working_bytes: float
    joules: float | None = None
    service_cpu_s: float | None = None


@dataclass(frozen=True)
class BoardCosts:
    """What a model costs on one board, as measured on it.

    Attributes:
        op_s: (n_ops,) wall seconds per operator.
        op_cpu_s: (n_ops,) processor seconds per operator, of all threads.
        resident_bytes: (n_ops,) memory that each operator keeps (its constants, as the runtime packs them).
        working_bytes: (n_ops,) memory that each operator needs while it runs; operators take turns in it.
        cores: processor seconds per second that the board can give: 2.0 for two cores, 0.2 under a quota of a fifth.
        frame_cpu_s: processor seconds that each frame costs, whatever is in it.
        receive_cpu_s_per_byte: processor seconds per byte that comes in.
        send_cpu_s_per_byte: processor seconds per byte that goes out.
        memory_bytes: its limit, for one stage and the frames in it.
        op_joules: (n_ops,) joules per operator; None if the board has no sensor.
        measured: (first, last) operator, half open -> that partition measured whole.
    """

    name: str
    op_s: FloatArray
    op_cpu_s: FloatArray
    resident_bytes: FloatArray
    working_bytes: FloatArray
    cores: float = 1.0
    frame_cpu_s: float = 0.0
    receive_cpu_s_per_byte: float = 0.0
    send_cpu_s_per_byte: float = 0.0
    memory_bytes: float = np.inf
    op_joules: FloatArray | None = None
    measured: Mapping[tuple[int, int], MeasuredStage] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.cores > 0:
            raise PlanningError(
                f"board {self.name} gives {self.cores} processor seconds per second, expected more than 0."
            )

    def with_memory(self, memory_bytes: float) -> BoardCosts:
        """The same board with another limit."""
        return replace(self, memory_bytes=memory_bytes)


@dataclass(frozen=True)
class LinkCosts:
    """Every pair's link, the dispatcher last.

    Attributes:
        bytes_per_s: (n_boards + 1, n_boards + 1).
        frame_s: (n_boards + 1, n_boards + 1) seconds that a frame occupies the link whatever its size.
        delay_s: (n_boards + 1, n_boards + 1) seconds on the way beyond that, which frames that follow do not wait for; None
            for none.
    """

    bytes_per_s: FloatArray
    frame_s: FloatArray
    delay_s: FloatArray | None = None

    def __post_init__(self) -> None:
        if not (self.bytes_per_s > 0).all() or not np.isfinite(self.frame_s).all():
            raise PlanningError("links need more than 0 bytes per second and a finite time per frame, for every pair.")


def build_problem(model: ModelCosts, boards: Sequence[BoardCosts], links: LinkCosts) -> ChainProblem:
    """The planner's problem, over the model's positions.

        stage(i, j) = max(compute_s, move_cpu_s, (compute_cpu_s + move_cpu_s) / cores), inf beyond the board's memory
        move_cpu_s  = frame_cpu_s + receive_cpu_s_per_byte * bytes at i + send_cpu_s_per_byte * bytes at j
        link(c)     = seconds per frame + bytes at c / bytes per second, and what answers take of it

    Answers go back the way that inputs came, through every board (`_links_s`), and each board before the last relays them.

    compute_s and compute_cpu_s are sums over operators, or of the partition measured whole. The processor that moves frames
    is the one that computes: while one frame is computed others come and go, in the time that computing leaves of it. One
    thread moves them, so a board with cores to spare is no faster than that.
    Joules are known only if every board has them.
    Raises: PlanningError: sizes that do not fit together.
    """
    for board in boards:
        _check_sizes(model, board)
    joules = [_stage_joules(model, board) for board in boards]
    known = [stage_j for stage_j in joules if stage_j is not None]
    link_s, delay_s = _links_s(model, links)
    return ChainProblem(
        np.array([_stage_s(model, board) for board in boards]),
        link_s,
        model.crossing_bytes[model.positions],
        np.array(known) if len(known) == len(boards) else None,
        delay_s,
    )


def _links_s(model: ModelCosts, links: LinkCosts) -> tuple[FloatArray, FloatArray]:
    """Seconds that a frame occupies each link, and that it is on its way beyond that: there, and back with the answer.

    A board sends its answers to the board before it over the interface that its frames leave by, so both share the speed of
    the way to the next board; on the way back from there only the answer counts. The dispatcher's frames and its answers go
    opposite ways. What comes last is the first board's business too: from the last board to the dispatcher there is no link.
    """
    dispatcher = len(links.frame_s) - 1
    crossing_bytes = model.crossing_bytes[model.positions]
    answer_bytes = crossing_bytes[-1]
    delay_s = np.zeros_like(links.frame_s) if links.delay_s is None else links.delay_s
    forward_s = links.frame_s[:, :, None] + crossing_bytes / links.bytes_per_s[:, :, None]
    answer_s = (links.frame_s + answer_bytes / links.bytes_per_s).T  # (sender of the frame, receiver): the way back
    shared_s = forward_s + (answer_bytes / links.bytes_per_s)[:, :, None]
    link_s = np.maximum(shared_s, answer_s[:, :, None])
    link_s[dispatcher] = np.maximum(forward_s[dispatcher], answer_s[dispatcher, :, None])
    link_s[:, dispatcher] = 0.0
    both_ways_s = delay_s + delay_s.T
    # One frame alone waits for both ways of the first link, of which only the longer occupies it.
    both_ways_s[dispatcher] += np.minimum(forward_s[dispatcher, :, 0], answer_s[dispatcher])
    both_ways_s[:, dispatcher] = 0.0
    return link_s, both_ways_s


def stage_bytes(model: ModelCosts, board: BoardCosts) -> FloatArray:
    """(n_positions, n_positions) memory of a stage: what its operators keep, the most that one works in, its frames twice.

    Twice, because while one frame is computed the next has come and the last has not left.
    """
    frames_bytes = 2 * model.crossing_bytes[model.positions]
    summed, largest = _sums(model, board.resident_bytes), _largest_within(model, board.working_bytes)
    resident_bytes = _with_measured(summed, model, board, lambda stage: stage.resident_bytes)
    working_bytes = _with_measured(largest, model, board, lambda stage: stage.working_bytes)
    needed: FloatArray = resident_bytes + working_bytes + frames_bytes[:, None] + frames_bytes[None, :]
    return needed


def _check_sizes(model: ModelCosts, board: BoardCosts) -> None:
    for name in ("op_s", "op_cpu_s", "resident_bytes", "working_bytes", "op_joules"):
        values = getattr(board, name)
        if values is not None and len(values) != model.n_ops:
            raise PlanningError(
                f"board {board.name} has {name} of {len(values)} operators, the model has {model.n_ops}."
            )


def _stage_s(model: ModelCosts, board: BoardCosts) -> FloatArray:
    crossing_bytes = model.crossing_bytes[model.positions]
    compute_s = _with_measured(_sums(model, board.op_s), model, board, lambda stage: stage.compute_s)
    cpu_s = _with_measured(_sums(model, board.op_cpu_s), model, board, lambda stage: stage.compute_cpu_s)
    received_cpu_s = board.receive_cpu_s_per_byte * crossing_bytes[:, None]
    sent_cpu_s = board.send_cpu_s_per_byte * crossing_bytes[None, :]
    move_cpu_s = board.frame_cpu_s + received_cpu_s + sent_cpu_s
    move_cpu_s[:, :-1] += _relay_cpu_s(board, crossing_bytes[-1])  # the last stage's own answers are its frames
    service_cpu_s = _with_measured(cpu_s + move_cpu_s, model, board, lambda stage: stage.service_cpu_s)
    stage_s = np.maximum(np.maximum(compute_s, move_cpu_s), service_cpu_s / board.cores)
    stage_s[stage_bytes(model, board) > board.memory_bytes] = np.inf
    return _forwards(stage_s)


def _relay_cpu_s(board: BoardCosts, answer_bytes: float) -> float:
    """Processor seconds to pass on an answer of the boards behind: read and written, but not unpacked."""
    moved_s = answer_bytes * (board.receive_cpu_s_per_byte + board.send_cpu_s_per_byte)
    return RELAY_SHARE * board.frame_cpu_s + moved_s


def _stage_joules(model: ModelCosts, board: BoardCosts) -> FloatArray | None:
    if board.op_joules is None:
        return None
    return _forwards(_with_measured(_sums(model, board.op_joules), model, board, lambda stage: stage.joules))


def _sums(model: ModelCosts, values: FloatArray) -> FloatArray:
    """(n_positions, n_positions) the sum of the operators' values between two positions."""
    total = np.concatenate([[0.0], np.cumsum(values)])[model.positions]
    between: FloatArray = total[None, :] - total[:, None]
    return between


def _largest_within(model: ModelCosts, values: FloatArray) -> FloatArray:
    """(n_positions, n_positions) the largest value between two positions, 0 where the second is not after the first."""
    at = model.positions
    per_piece = np.maximum.reduceat(values, at[:-1])  # (n_positions - 1,)
    largest = np.zeros((len(at), len(at)))
    for start in range(len(at) - 1):
        largest[start, start + 1 :] = np.maximum.accumulate(per_piece[start:])
    return largest


def _with_measured(
    derived: FloatArray, model: ModelCosts, board: BoardCosts, value: Callable[[MeasuredStage], float | None]
) -> FloatArray:
    """What was derived from operators, but for stages measured whole (whose ends are positions) what was measured."""
    place = {int(position): index for index, position in enumerate(model.positions)}
    for (first, last), stage in board.measured.items():
        measured = value(stage)
        if first in place and last in place and measured is not None:
            derived[place[first], place[last]] = measured
    return derived


def _forwards(costs: FloatArray) -> FloatArray:
    costs[np.tril_indices(len(costs))] = np.inf
    return costs

"""Why no plan exists, by how much, and the smallest change that would make one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from partitioning.planning.chain_search import ChainSearch
from partitioning.planning.cost_model import BoardCosts, LinkCosts, ModelCosts, build_problem, stage_bytes
from partitioning.planning.problem import ChainProblem

_MOST_ADDED_BOARDS = 16


@dataclass(frozen=True)
class MoreMemory:
    """The model would fit if this board had so much memory."""

    board: str
    memory_bytes: float
    added_bytes: float


@dataclass(frozen=True)
class MoreBoards:
    """The model would fit with so many more boards like this one."""

    like: str
    count: int


@dataclass(frozen=True)
class Piece:
    """What lies between two neighbouring positions, and the board on which it comes closest to fitting.

    Attributes:
        start_op: its first operator.
        stop_op: the operator after its last.
        needed_bytes: what it needs there.
        memory_bytes: what there is.
    """

    start_op: int
    stop_op: int
    board: str
    needed_bytes: float
    memory_bytes: float

    @property
    def excess_bytes(self) -> float:
        """How much too big it is; below 0 if it fits."""
        return self.needed_bytes - self.memory_bytes


@dataclass(frozen=True)
class Infeasibility:
    """What stands in the way.

    Attributes:
        too_big: the pieces that no board can hold, in the model's order.
        tightest: the piece that comes least close to fitting, or leaves the least room.
        more_memory: the smallest addition to one board that helps.
        more_boards: the fewest boards of one kind that help; None if sixteen do not.
    """

    too_big: tuple[Piece, ...]
    tightest: Piece
    more_memory: MoreMemory
    more_boards: MoreBoards | None


def diagnose(model: ModelCosts, boards: Sequence[BoardCosts], links: LinkCosts) -> Infeasibility | None:
    """None if a plan exists.

    Each change is tried by planning with it, so what is named is enough and, among single changes of its kind, the least.
    """
    build_problem(model, boards, links)  # refuses what does not fit together; any links then allow what memory allows
    if _is_feasible(model, boards):
        return None
    pieces = _pieces(model, boards)
    too_big = tuple(piece for piece in pieces if piece.excess_bytes > 0)
    return Infeasibility(
        too_big=too_big,
        tightest=max(pieces, key=lambda piece: piece.excess_bytes),
        more_memory=_least_memory(model, boards),
        more_boards=None if too_big else _fewest_boards(model, boards),
    )


def _pieces(model: ModelCosts, boards: Sequence[BoardCosts]) -> list[Piece]:
    needed_bytes = np.array([np.diagonal(stage_bytes(model, board), 1) for board in boards])
    memory_bytes = np.array([board.memory_bytes for board in boards])
    closest = (needed_bytes - memory_bytes[:, None]).argmin(axis=0)  # (n_positions - 1,) board index
    ends = zip(model.positions[:-1], model.positions[1:])
    return [
        Piece(int(start), int(stop), boards[b].name, float(needed_bytes[b, i]), float(memory_bytes[b]))
        for i, ((start, stop), b) in enumerate(zip(ends, closest))
    ]


def _least_memory(model: ModelCosts, boards: Sequence[BoardCosts]) -> MoreMemory:
    """Bisects the sizes that a stage can have: more memory never makes a plan impossible, and with the largest of them one
    board holds the whole model."""
    found = []
    for index, board in enumerate(boards):
        needed = stage_bytes(model, board)
        sizes = np.unique(needed[np.triu_indices(len(needed), 1)])
        larger = sizes[sizes > board.memory_bytes]
        low, high = 0, len(larger) - 1
        while low < high:
            middle = (low + high) // 2
            changed = [b.with_memory(float(larger[middle])) if i == index else b for i, b in enumerate(boards)]
            low, high = (low, middle) if _is_feasible(model, changed) else (middle + 1, high)
        memory_bytes = float(larger[low])
        found.append(MoreMemory(board.name, memory_bytes, memory_bytes - board.memory_bytes))
    return min(found, key=lambda change: change.added_bytes)


def _fewest_boards(model: ModelCosts, boards: Sequence[BoardCosts]) -> MoreBoards | None:
    for count in range(1, _MOST_ADDED_BOARDS + 1):
        for board in sorted(boards, key=lambda b: b.memory_bytes):
            if _is_feasible(model, [*boards, *[board] * count]):
                return MoreBoards(board.name, count)
    return None


def _is_feasible(model: ModelCosts, boards: Sequence[BoardCosts]) -> bool:
    """Whether memory allows a plan. Nothing takes time here, so that boards are of one type if the same fits in them."""
    size = len(boards) + 1
    fits = [stage_bytes(model, board) <= board.memory_bytes for board in boards]
    stage_s = np.where(np.array(fits), 0.0, np.inf)
    rows, columns = np.tril_indices(len(model.positions))
    stage_s[:, rows, columns] = np.inf
    n_positions = len(model.positions)
    problem = ChainProblem(stage_s, np.zeros((size, size, n_positions)), np.zeros(n_positions))
    return bool(np.isfinite(ChainSearch(problem).bottleneck_s).any())

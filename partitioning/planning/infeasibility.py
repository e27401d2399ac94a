"""Why no plan exists, by how much, and the smallest change that would make one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from partitioning.planning.chain_search import ChainSearch
from partitioning.planning.cost_model import BoardCosts, LinkCosts, ModelCosts, build_problem, stage_bytes
from partitioning.planning.problem import FloatArray

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
class Infeasibility:
    """What stands in the way.

    Attributes:
        too_big: (first, last) operator, half open, of each piece between neighbouring positions that no board can hold.
        largest_piece_bytes: what the largest piece needs.
        largest_memory_bytes: what the largest board has.
        more_memory: the smallest addition to one board that helps.
        more_boards: the fewest boards of one kind that help; None if sixteen do not.
    """

    too_big: tuple[tuple[int, int], ...]
    largest_piece_bytes: float
    largest_memory_bytes: float
    more_memory: MoreMemory
    more_boards: MoreBoards | None


def diagnose(model: ModelCosts, boards: Sequence[BoardCosts], links: LinkCosts) -> Infeasibility | None:
    """None if a plan exists.

    Each change is tried by planning with it, so what is named is enough and, among single changes of its kind, the least.
    """
    if _is_feasible(model, boards, links):
        return None
    needed = stage_bytes(model)
    pieces = np.diagonal(needed, 1)
    largest_memory_bytes = max(board.memory_bytes for board in boards)
    at = model.positions
    too_big = tuple((int(at[i]), int(at[i + 1])) for i, piece in enumerate(pieces) if piece > largest_memory_bytes)
    return Infeasibility(
        too_big=too_big,
        largest_piece_bytes=float(pieces.max()),
        largest_memory_bytes=largest_memory_bytes,
        more_memory=_least_memory(model, boards, links, needed),
        more_boards=None if too_big else _fewest_boards(model, boards),
    )


def _least_memory(model: ModelCosts, boards: Sequence[BoardCosts], links: LinkCosts, needed: FloatArray) -> MoreMemory:
    """Bisects the sizes that a stage can have: more memory never makes a plan impossible, and with the largest of them one
    board holds the whole model."""
    sizes = np.unique(needed[np.triu_indices(len(needed), 1)])
    found = []
    for index, board in enumerate(boards):
        larger = sizes[sizes > board.memory_bytes]
        low, high = 0, len(larger) - 1
        while low < high:
            middle = (low + high) // 2
            changed = [b.with_memory(float(larger[middle])) if i == index else b for i, b in enumerate(boards)]
            low, high = (low, middle) if _is_feasible(model, changed, links) else (middle + 1, high)
        memory_bytes = float(larger[low])
        found.append(MoreMemory(board.name, memory_bytes, memory_bytes - board.memory_bytes))
    return min(found, key=lambda change: change.added_bytes)


def _fewest_boards(model: ModelCosts, boards: Sequence[BoardCosts]) -> MoreBoards | None:
    """Adds boards like one of these until the model fits; only memory decides, so any links do."""
    for count in range(1, _MOST_ADDED_BOARDS + 1):
        for board in sorted(boards, key=lambda b: b.memory_bytes):
            together = [*boards, *[board] * count]
            size = len(together) + 1
            free = LinkCosts(np.full((size, size), np.inf), np.zeros((size, size)))
            if _is_feasible(model, together, free):
                return MoreBoards(board.name, count)
    return None


def _is_feasible(model: ModelCosts, boards: Sequence[BoardCosts], links: LinkCosts) -> bool:
    return bool(np.isfinite(ChainSearch(build_problem(model, boards, links)).bottleneck_s).any())

"""Parts of the chain whose board is given: which kinds of board each part can have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from partitioning.planning.problem import PlanningError

Array = np.ndarray[Any, Any]


def kinds_by_part(pins: Mapping[int, int], types: Sequence[Sequence[int]], n_boards: int, most_parts: int) -> Array:
    """(most_parts, n_types) bool: whether a part of the chain can have a board of a type.

    Args:
        pins: part index -> board index.
        types: boards by type, of the pinned ones each by itself.
        n_boards: how many boards there are.
        most_parts: the most parts that a chain can have, for lack of boards or operators or because no more are wanted.
    Raises: PlanningError: pins that no chain can have; all of them are named.
    """
    faults = [
        f"part {part} is pinned to board {board}, which is none of the boards 0 to {n_boards - 1}"
        for part, board in sorted(pins.items())
        if not 0 <= board < n_boards
    ]
    faults += [
        f"part {part} is pinned to board {board}, the chain has parts 0 to {most_parts - 1} at most"
        for part, board in sorted(pins.items())
        if not 0 <= part < most_parts
    ]
    for board in sorted(set(pins.values())):
        parts = sorted(part for part, pinned in pins.items() if pinned == board)
        if len(parts) > 1:
            faults.append(f"parts {', '.join(map(str, parts))} are pinned to the same board {board}")
    if faults:
        raise PlanningError(f"pins cannot be met: {'; '.join(faults)}. Pin each part to a board of its own.")
    kind_of = {board: kind for kind, members in enumerate(types) for board in members}
    can_have = np.full((most_parts, len(types)), True)
    can_have[:, [kind_of[board] for board in pins.values()]] = False
    for part, board in pins.items():
        can_have[part] = np.arange(len(types)) == kind_of[board]
    return can_have

"""What a planner is given: the measured cost of every stage on every board, and of every link at every cut."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from partitioning.errors import PartitioningError

FloatArray = np.ndarray[Any, np.dtype[np.float64]]


class PlanningError(PartitioningError):
    """The costs that a planner was given make no sense."""


class InfeasiblePlanError(PartitioningError):
    """No chain of these boards can hold the model."""


@dataclass(frozen=True)
class ChainProblem:
    """Costs of chains over boards 0 .. n_boards - 1; the dispatcher, which sends inputs and takes answers, comes after them.

    A position is a place where the model may be cut: 0 is its beginning, n_positions - 1 its end.

    Attributes:
        stage_s: (n_boards, n_positions, n_positions) seconds that a board needs for what lies between two positions, all
            of its own costs included; inf where it cannot (too little memory), and wherever the second position is not
            after the first.
        link_s: (n_boards + 1, n_boards + 1, n_positions) seconds from one board to another for what crosses a position.
        crossing_bytes: (n_positions,) bytes that cross.
    """

    stage_s: FloatArray
    link_s: FloatArray
    crossing_bytes: FloatArray

    def __post_init__(self) -> None:
        n_boards, n_positions, _ = self.stage_s.shape
        expected = {
            "stage_s": (n_boards, n_positions, n_positions),
            "link_s": (n_boards + 1, n_boards + 1, n_positions),
            "crossing_bytes": (n_positions,),
        }
        for name, shape in expected.items():
            found = getattr(self, name)
            if found.shape != shape or n_boards < 1 or n_positions < 2:
                raise PlanningError(
                    f"{name} has shape {found.shape}, expected {shape} with at least 1 board and 2 positions."
                )
            if np.isnan(found).any() or (found < 0).any():
                raise PlanningError(f"{name} holds negative costs or NaN.")
        rows, columns = np.tril_indices(n_positions)
        if np.isfinite(self.stage_s[:, rows, columns]).any():
            raise PlanningError("stage_s must be inf where the second position is not after the first.")

    @property
    def n_boards(self) -> int:
        """Boards, the dispatcher not counted."""
        return int(self.stage_s.shape[0])

    @property
    def dispatcher(self) -> int:
        """The dispatcher's index in link_s."""
        return self.n_boards

    @property
    def end(self) -> int:
        """The position after the last operator."""
        return int(self.stage_s.shape[1]) - 1

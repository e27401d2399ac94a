"""What a planner is given: the measured cost of every stage on every board, and of every link at every cut."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from partitioning.errors import PartitioningError

FloatArray = np.ndarray[Any, np.dtype[np.float64]]


class PlanningError(PartitioningError):
    """The costs that a planner was given, or what it was asked for, make no sense."""


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
        link_s: (n_boards + 1, n_boards + 1, n_positions) seconds that what crosses a position occupies the link from one board
            to another.
        crossing_bytes: (n_positions,) bytes that cross.
        stage_j: (n_boards, n_positions, n_positions) joules per inference of the same stages, or None if they were not
            measured; where stage_s is inf it may hold anything.
        delay_s: (n_boards + 1, n_boards + 1) seconds that a frame is on its way beyond that, while others follow it: it counts
            in the latency and not in the slowest step. None for none.
    """

    stage_s: FloatArray
    link_s: FloatArray
    crossing_bytes: FloatArray
    stage_j: FloatArray | None = None
    delay_s: FloatArray | None = None

    def __post_init__(self) -> None:
        n_boards, n_positions, _ = self.stage_s.shape
        stages = (n_boards, n_positions, n_positions)
        expected = {
            "stage_s": stages,
            "link_s": (n_boards + 1, n_boards + 1, n_positions),
            "crossing_bytes": (n_positions,),
        }
        if self.stage_j is not None:
            expected["stage_j"] = stages
        if self.delay_s is not None:
            expected["delay_s"] = (n_boards + 1, n_boards + 1)
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
    def passing_s(self) -> FloatArray:
        """(n_boards + 1, n_boards + 1, n_positions) seconds from one board to another for one frame: occupation and delay."""
        return self.link_s if self.delay_s is None else self.link_s + self.delay_s[:, :, None]

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


def fix_cuts(problem: ChainProblem, cut_positions: Sequence[int]) -> ChainProblem:
    """The same problem, of whose positions exactly these are the cuts: every chain has len(cut_positions) + 1 stages.

    Positions keep their numbers. Several chains side by side all have the same cuts, and a board for each stage.
    Args:
        cut_positions: rising, in 1 .. problem.end - 1; none means the whole model on one board.
    Raises: PlanningError: positions that do not rise, or lie outside.
    """
    edges = [0, *cut_positions, problem.end]
    if any(stop <= start for start, stop in zip(edges[:-1], edges[1:])):
        raise PlanningError(
            f"cuts are at positions {list(cut_positions)}, expected to rise within 1 to {problem.end - 1}."
        )
    stage_s = np.full_like(problem.stage_s, np.inf)
    stage_s[:, edges[:-1], edges[1:]] = problem.stage_s[:, edges[:-1], edges[1:]]
    return replace(problem, stage_s=stage_s)

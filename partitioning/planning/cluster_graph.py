"""The steps of a cluster's chains that take no longer than a limit: what the decision "is there a chain so fast" looks at."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from partitioning.planning.problem import ChainProblem, FloatArray

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class StepGraph:
    """Which stages and links a chain may use. The dispatcher is in `first_ok` and `last_ok` only; no board sends to itself.

    Attributes:
        stage_ok: (n_positions, n_boards, n_positions) bool: begin, board, end.
        link_ok: (n_positions, n_boards, n_boards) bool: position, sender, receiver.
        first_ok: (n_boards,) bool: may be the first of a chain.
        last_ok: (n_boards,) bool: may be the last.
        stops: (n_positions,) one more than the farthest end that some board reaches from there; 0 if there is none.
    """

    stage_ok: Array
    link_ok: Array
    first_ok: Array
    last_ok: Array
    stops: Array

    @cached_property
    def stage_cost(self) -> FloatArray:
        """0 where `stage_ok`, else inf: to add, which is quicker than to choose."""
        return np.where(self.stage_ok, 0.0, np.inf)

    @cached_property
    def link_cost(self) -> FloatArray:
        """0 where `link_ok`, else inf."""
        return np.where(self.link_ok, 0.0, np.inf)

    @property
    def n_boards(self) -> int:
        """Boards, the dispatcher not counted."""
        return int(self.stage_ok.shape[1])

    @property
    def end(self) -> int:
        """The position after the last operator."""
        return int(self.stage_ok.shape[0]) - 1

    def reversed(self) -> StepGraph:
        """The same chains from end to beginning."""
        stage_ok = np.ascontiguousarray(self.stage_ok[::-1, :, ::-1].transpose(2, 1, 0))
        link_ok = np.ascontiguousarray(self.link_ok[::-1].transpose(0, 2, 1))
        return StepGraph(stage_ok, link_ok, self.last_ok, self.first_ok, _stops(stage_ok))


class ClusterCosts:
    """A problem's costs by position, and the values that its slowest step can have."""

    def __init__(self, problem: ChainProblem) -> None:
        boards = np.arange(problem.n_boards)
        self._stage_s = np.ascontiguousarray(problem.stage_s.transpose(1, 0, 2))
        self._link_s = np.ascontiguousarray(problem.link_s[:-1, :-1].transpose(2, 0, 1))
        self._link_s[:, boards, boards] = np.inf
        self._first_s: FloatArray = problem.link_s[problem.dispatcher, :-1, 0]
        self._last_s: FloatArray = problem.link_s[:-1, problem.dispatcher, problem.end]
        # Clusters of equal boards are common, and sorting their stages once is most of the time that this takes.
        differs = [b == 0 or not np.array_equal(problem.stage_s[b], problem.stage_s[b - 1]) for b in boards]
        costs_s = (problem.stage_s[differs], self._link_s, self._first_s, self._last_s)
        # (n_limits,) rising seconds: what a chain costs is one of them.
        self.limits_s: FloatArray = np.unique(np.concatenate([c[np.isfinite(c)] for c in costs_s]))

    def steps_within(self, limit_s: float) -> StepGraph:
        """The steps of limit_s at most."""
        stage_ok = self._stage_s <= limit_s
        return StepGraph(
            stage_ok,
            self._link_s <= limit_s,
            self._first_s <= limit_s,
            self._last_s <= limit_s,
            _stops(stage_ok),
        )


def _stops(stage_ok: Array) -> Array:
    possible: Array = np.any(stage_ok, axis=1)  # (n_positions, n_positions)
    return np.where(possible.any(axis=1), possible.shape[1] - possible[:, ::-1].argmax(axis=1), 0)

"""What people do without a planner: equal parts, or parts in proportion to the boards' speed, at their luckiest."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

import numpy as np

from partitioning.operator_work import estimate_work
from partitioning.planning import Chain, ChainProblem, judge_chain
from planner.costs import FleetCosts
from planner.model import PlannerModel


def best_equal_split(model: PlannerModel, costs: FleetCosts, problem: ChainProblem) -> Chain:
    """Parts of equal time, as many as any number of boards, on any of them in any order: the one predicted fastest."""
    mean_s = np.mean([board.op_s for board in costs.boards], axis=0)
    return _fastest(problem, _candidates(model, problem, mean_s, np.ones(problem.n_boards)))


def best_flops_split(model: PlannerModel, problem: ChainProblem, speeds: Sequence[float]) -> Chain:
    """Parts whose multiply-accumulates are in proportion to the boards' nominal speed, boards and order likewise the best.

    Args:
        speeds: of the boards, in any unit; their share of a core, for instance.
    """
    return _fastest(problem, _candidates(model, problem, np.array(estimate_work(model.graph)), np.array(speeds)))


def _candidates(model: PlannerModel, problem: ChainProblem, work: np.ndarray, speeds: np.ndarray) -> Iterator[Chain]:
    done = np.concatenate([[0.0], np.cumsum(work)])[list(model.positions)] / float(np.sum(work))
    for n_boards in range(1, problem.n_boards + 1):
        for boards in itertools.permutations(range(problem.n_boards), n_boards):
            shares = np.cumsum(speeds[list(boards)]) / speeds[list(boards)].sum()
            positions = (0, *(int(np.argmin(np.abs(done - share))) for share in shares[:-1]), problem.end)
            if all(a < b for a, b in zip(positions[:-1], positions[1:])):
                yield Chain(boards, positions)


def _fastest(problem: ChainProblem, chains: Iterator[Chain]) -> Chain:
    return min(chains, key=lambda chain: judge_chain(problem, chain))

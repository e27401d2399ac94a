"""Among chains with a plan's boards in its order, the one of least latency whose steps are all quick enough."""

from __future__ import annotations

import numpy as np

from partitioning.planning.judge import Chain
from partitioning.planning.problem import ChainProblem, FloatArray


def shorten_chain(problem: ChainProblem, chain: Chain, limit_s: float) -> Chain:
    """The quickest way through the same boards in the same order, some of them left out, no step slower than limit_s.

        T[k, j] = min over k' < k, i < j of T[k', i] + link(k', k, i) + stage(k, i, j)

    k counts the chain's boards, j is the position reached. A search for the least slowest step takes any chain that has it;
    this one spares the boards and cuts that it does not need for it.
    Args:
        limit_s: what the slowest step of `chain` takes, or more.
    """
    boards = np.array(chain.boards)
    stage_s = _within(problem.stage_s[boards], limit_s)  # (n_used, n_positions, n_positions)
    link_s = _within(problem.link_s[np.ix_(boards, boards)], limit_s)  # (n_used, n_used, n_positions)
    last_s = _within(problem.link_s[boards, problem.dispatcher, problem.end], limit_s)
    arrived_s = np.full((len(boards), problem.end + 1), np.inf)
    arrived_s[:, 0] = _within(problem.link_s[problem.dispatcher, boards, 0], limit_s)
    reached_s = np.full_like(arrived_s, np.inf)
    for k in range(len(boards)):
        if k:
            arrived_s[k, 1:] = (reached_s[:k] + link_s[:k, k])[:, 1:].min(axis=0)
        reached_s[k] = (arrived_s[k, :, None] + stage_s[k]).min(axis=0)
    k, position = int((reached_s[:, problem.end] + last_s).argmin()), problem.end
    used, positions = [], [position]
    while position:
        used.append(int(boards[k]))
        position = int((arrived_s[k] + stage_s[k, :, position]).argmin())
        positions.append(position)
        if position:
            k = int((reached_s[:k, position] + link_s[:k, k, position]).argmin())
    return Chain(tuple(reversed(used)), tuple(reversed(positions)))


def _within(cost_s: FloatArray, limit_s: float) -> FloatArray:
    return np.where(cost_s <= limit_s, cost_s, np.inf)

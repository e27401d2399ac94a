"""What a chain costs: the only place that says so, and no planner is in it."""

from __future__ import annotations

from dataclasses import dataclass

from partitioning.planning.problem import ChainProblem


@dataclass(frozen=True)
class Chain:
    """Boards in order, and the positions between them: board k computes from positions[k] to positions[k + 1]."""

    boards: tuple[int, ...]
    positions: tuple[int, ...]


@dataclass(frozen=True, order=True)
class ChainCost:
    """Costs of a chain, compared in this order: slowest step, then latency, then bytes moved."""

    bottleneck_s: float
    latency_s: float
    moved_bytes: float


def judge_chain(problem: ChainProblem, chain: Chain) -> ChainCost:
    """The cost of a chain: its slowest stage or link, the sum of all, and what crosses its links."""
    stages = [
        float(problem.stage_s[board, start, stop])
        for board, start, stop in zip(chain.boards, chain.positions[:-1], chain.positions[1:])
    ]
    stops = (problem.dispatcher, *chain.boards, problem.dispatcher)
    links = [
        float(problem.link_s[sender, receiver, position])
        for sender, receiver, position in zip(stops[:-1], stops[1:], chain.positions)
    ]
    moved_bytes = float(sum(problem.crossing_bytes[position] for position in chain.positions))
    return ChainCost(max(*stages, *links), sum(stages) + sum(links), moved_bytes)

"""What a chain costs, and which of two is better: the only place that says so, and no planner is in it."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field, replace

from partitioning.planning.problem import ChainProblem, PlanningError


@dataclass(frozen=True)
class Chain:
    """Boards in order, and the positions between them: board k computes from positions[k] to positions[k + 1]."""

    boards: tuple[int, ...]
    positions: tuple[int, ...]


@dataclass(frozen=True, order=True)
class ChainCost:
    """Costs of a chain, compared in this order: slowest step, then latency, then bytes moved.

    `energy_j` is the joules of its stages per inference, None where the problem has none; comparisons leave it out.
    """

    bottleneck_s: float
    latency_s: float
    moved_bytes: float
    energy_j: float | None = field(default=None, compare=False)


class Objective(enum.Enum):
    """What a plan makes as small as possible, and what decides between equals."""

    THROUGHPUT = "throughput"  # the slowest step; then the latency, then the bytes moved
    LATENCY = "latency"  # the sum of all stages and links; then the bytes moved
    ENERGY = "energy"  # the joules of all stages; then the latency

    def key(self, cost: ChainCost) -> tuple[float, ...]:
        """What chains are compared by, the least being the best. Energy needs a cost with joules."""
        if self is Objective.THROUGHPUT:
            return cost.bottleneck_s, cost.latency_s, cost.moved_bytes
        if self is Objective.LATENCY:
            return cost.latency_s, cost.moved_bytes
        assert cost.energy_j is not None
        return cost.energy_j, cost.latency_s


def relevant_costs(problem: ChainProblem, objective: Objective) -> ChainProblem:
    """The problem without joules unless they count, so that they tell no boards apart.

    Raises: PlanningError: they count, and there are none.
    """
    if objective is not Objective.ENERGY:
        return problem if problem.stage_j is None else replace(problem, stage_j=None)
    if problem.stage_j is None:
        raise PlanningError("the plan of least energy needs the joules of every stage; the problem has none.")
    return problem


def judge_chain(problem: ChainProblem, chain: Chain) -> ChainCost:
    """The cost of a chain: its slowest stage or link, the sum of all, what crosses its links, its stages' joules."""
    runs = list(zip(chain.boards, chain.positions[:-1], chain.positions[1:]))
    stages = [float(problem.stage_s[run]) for run in runs]
    stops = (problem.dispatcher, *chain.boards, problem.dispatcher)
    links = [float(problem.link_s[hop]) for hop in zip(stops[:-1], stops[1:], chain.positions)]
    delays = [] if problem.delay_s is None else [float(problem.delay_s[hop]) for hop in zip(stops[:-1], stops[1:])]
    moved_bytes = float(sum(problem.crossing_bytes[position] for position in chain.positions))
    stage_j = problem.stage_j
    energy_j = None if stage_j is None else sum(float(stage_j[run]) for run in runs)
    return ChainCost(max(*stages, *links), sum(stages) + sum(links) + sum(delays), moved_bytes, energy_j)

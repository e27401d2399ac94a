"""What is wished of a plan, and what a plan is: chains, what they cost, and how good that is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from partitioning.planning.judge import Chain, ChainCost, Objective, judge_chain
from partitioning.planning.problem import ChainProblem, PlanningError


@dataclass(frozen=True)
class Wishes:
    """What a plan is to be like.

    Attributes:
        max_boards: the most boards in use, of all chains together; None for all.
        pins: part of the chain -> the board that computes it and nothing else; one chain only.
        n_chains: how many chains side by side; None for the best number. More than one for throughput only.
    Raises: PlanningError: wishes that exclude one another.
    """

    objective: Objective = Objective.THROUGHPUT
    max_boards: int | None = None
    pins: Mapping[int, int] = field(default_factory=dict)
    n_chains: int | None = None

    def __post_init__(self) -> None:
        if self.n_chains is not None and self.n_chains < 1:
            raise PlanningError(f"{self.n_chains} chains were asked for, expected 1 or more.")
        if self.n_chains not in (None, 1) and not self.may_have_several:
            raise PlanningError(
                f"{self.n_chains} chains side by side are for throughput only, and without pins. Ask for one chain."
            )

    @property
    def may_have_several(self) -> bool:
        """Several chains give more answers per second, not earlier or cheaper ones; and a pin names a part of one chain."""
        return self.objective is Objective.THROUGHPUT and not self.pins


@dataclass(frozen=True)
class ChainSet:
    """Chains over disjoint boards, and what each costs."""

    chains: tuple[Chain, ...]
    costs: tuple[ChainCost, ...]

    @property
    def rate_per_s(self) -> float:
        """Answers per second of all chains together, if nothing but the slowest steps counted; inf if they take no time."""
        return sum(1 / cost.bottleneck_s if cost.bottleneck_s else float("inf") for cost in self.costs)

    @property
    def n_boards(self) -> int:
        """Boards in use."""
        return sum(len(chain.boards) for chain in self.chains)

    def value(self, objective: Objective) -> float:
        """What the objective makes small: seconds per answer of all chains together, seconds of latency, or joules."""
        if objective is Objective.THROUGHPUT:
            return 1 / self.rate_per_s
        return objective.key(self.costs[0])[0]


@dataclass(frozen=True)
class PlannedChains(ChainSet):
    """The plan, and how good it is.

    Attributes:
        lower_bound: no plan of as many chains has a smaller `value`.
        proven: nor has one of another number of chains, if that was free: no plan as wished is better.
        fewer_boards: the best plan with one board fewer at least, chains as wished; None if there is none.
        other_number: the best plan with another number of chains; None if there is none, or one chain alone makes sense.
    """

    lower_bound: float
    proven: bool
    fewer_boards: ChainSet | None = None
    other_number: ChainSet | None = None


def judge_chains(problem: ChainProblem, chains: Sequence[Chain]) -> ChainSet:
    """Chains over disjoint boards with their costs."""
    return ChainSet(tuple(chains), tuple(judge_chain(problem, chain) for chain in chains))

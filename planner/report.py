"""What a plan is and why, as values: for the terminal, for JSON, for pictures and for the plan file's comments."""

from __future__ import annotations

import enum
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from partitioning.planning import Chain, ChainProblem, ChainSet, Objective, judge_chain, stage_bytes
from planner.costs import FleetCosts
from planner.model import PlannerModel


@dataclass(frozen=True)
class BoardShare:
    """One board of a group, and what it computes for a frame."""

    board: str
    compute_s: float


@dataclass(frozen=True)
class SharingReport:
    """How boards share a stage.

    Attributes: segments: (first operator, one past the last, "rows", "channels" or "" for one board alone, each board's share).
    """

    boards: tuple[BoardShare, ...]
    segments: tuple[tuple[int, int, str, tuple[float, ...]], ...]
    exchanged_bytes: int


@dataclass(frozen=True)
class StageReport:
    """One stage: its operators, and the step before it, the link that brings its frames.

    `compute_s` is the run alone; `stage_s` is what the board is busy per frame, moving its frames included, and what
    counts. `estimate_s` is what the sum of its pieces had predicted for `compute_s`. `until` is the cut behind it, None in
    a chain's last stage. With `sharing`, a group does it: `board` leads it, and `stage_s` is until the leader has what leaves.
    """

    chain: int
    stage: int
    board: str
    start_op: int
    stop_op: int
    until: int | None
    compute_s: float
    estimate_s: float
    is_measured_whole: bool
    stage_s: float
    memory_bytes: float
    memory_limit_bytes: float
    arriving_bytes: float
    link_s: float
    sharing: SharingReport | None = None

    @property
    def label(self) -> str:
        """Who does it: a board, or all of a group."""
        return self.board if self.sharing is None else " + ".join(share.board for share in self.sharing.boards)


@dataclass(frozen=True)
class ChainReport:
    """One chain. `answer_link_s` is what an answer takes on its last way, from the first board; on all links answers are counted
    with the frames. `limited_by` names the slowest step."""

    stages: tuple[StageReport, ...]
    answer_bytes: float
    answer_link_s: float
    bottleneck_s: float
    latency_s: float
    limited_by: str

    @classmethod
    def of_stages(
        cls, stages: Sequence[StageReport], answer_bytes: float, answer_link_s: float, latency_s: float
    ) -> ChainReport:
        """With its slowest step."""
        steps = {f"{s.label}'s computing and moving": s.stage_s for s in stages}
        senders = ["the dispatcher", *(s.board for s in stages)]
        steps.update({f"the link between {sender} and {s.board}": s.link_s for sender, s in zip(senders, stages)})
        slowest = max(steps, key=lambda step: steps[step])
        return cls(tuple(stages), answer_bytes, answer_link_s, steps[slowest], latency_s, slowest)

    def with_stages(self, stages: Sequence[StageReport]) -> ChainReport:
        """The chain whose stages take otherwise, as by groups of boards; frames and answers move as before."""
        longer_s = sum(one.stage_s - other.stage_s for one, other in zip(stages, self.stages))
        return ChainReport.of_stages(stages, self.answer_bytes, self.answer_link_s, self.latency_s + longer_s)

    @property
    def boards(self) -> list[str]:
        """The boards, in order; of groups their leaders."""
        return [stage.board for stage in self.stages]


@dataclass(frozen=True)
class Alternative:
    """The best plan of another kind, for comparison. `rate_per_s` is None if there is none."""

    what: str
    rate_per_s: float | None
    latency_s: float | None
    boards: str
    energy_j: float | None = None

    @classmethod
    def of_chains(cls, what: str, names: Sequence[str], chains: ChainSet | None) -> Alternative:
        """Args: names: of the boards, in their order. chains: None if there are none."""
        if chains is None:
            return cls(what, None, None, "")
        boards = " | ".join(" > ".join(names[b] for b in chain.boards) for chain in chains.chains)
        latency_s = min(cost.latency_s for cost in chains.costs)
        return cls(what, chains.rate_per_s, latency_s, boards, chains.costs[0].energy_j)


class Proof(enum.Enum):
    """What is known of other plans."""

    PROVEN = "proven"  # none is better for these measurements
    BOUNDED = "bounded"  # no single chain is better than `lower_bound`
    MEASURED = "measured"  # none of the stages that were measured makes a better one; others were only estimated
    OPEN = "open"  # too many unlike boards to try all numbers of chains
    SHARED = "shared"  # boards share stages: the best that was found of the ways to do so
    GIVEN = "given"  # it was not searched for


@dataclass(frozen=True)
class PlanReport:
    """A whole plan. `rate_per_s` is the bound: what the boards can do if nothing but the slowest step holds them up.

    `lower_bound` is what no plan can be better than (seconds per frame, or joules), `certified_gap` how far above it the plan is;
    None where nothing is known. `rounds`, `estimate_error` and `repeat_error` tell of the revision, see
    `planner.revision.RevisedPlan`.
    """

    model: str
    objective: str
    chains: tuple[ChainReport, ...]
    rate_per_s: float
    latency_s: float
    energy_j: float | None
    proof: Proof
    lower_bound: float | None
    certified_gap: float | None
    left_out: tuple[str, ...]
    alternatives: tuple[Alternative, ...] = ()
    notes: tuple[str, ...] = ()
    rounds: int = 0
    estimate_error: float = 0.0
    repeat_error: float = 0.0

    @property
    def stages(self) -> Iterator[StageReport]:
        """Of all chains."""
        for chain in self.chains:
            yield from chain.stages

    @property
    def value(self) -> float:
        """What the objective makes small where boards share stages: seconds for a frame, or between two of them."""
        return self.latency_s if Objective(self.objective) is Objective.LATENCY else 1 / self.rate_per_s

    def as_tried(self, tried: PlanReport) -> PlanReport:
        """With the figures that the same plan had in service."""
        return replace(self, chains=tried.chains, rate_per_s=tried.rate_per_s, latency_s=tried.latency_s)

    def beside(self, what: str, other: PlanReport) -> PlanReport:
        """With another plan, of one chain, among the alternatives."""
        boards = " > ".join(stage.label for stage in other.stages)
        alternative = Alternative(what, other.rate_per_s, other.latency_s, boards)
        return replace(self, alternatives=(*self.alternatives, alternative))

    def as_json(self) -> dict[str, Any]:
        """The report as plain values."""
        return {**asdict(self), "proof": self.proof.value}


def describe_chains(
    model: PlannerModel, costs: FleetCosts, problem: ChainProblem, chains: Sequence[Chain]
) -> tuple[ChainReport, ...]:
    """The figures of each chain under these costs."""
    return tuple(_describe(model, costs, problem, chain, index) for index, chain in enumerate(chains))


def _describe(
    model: PlannerModel, costs: FleetCosts, problem: ChainProblem, chain: Chain, chain_index: int
) -> ChainReport:
    stages = [
        _stage(model, costs, problem, chain, chain_index, stage_index) for stage_index in range(len(chain.boards))
    ]
    first, answer_bytes = chain.boards[0], float(problem.crossing_bytes[-1])
    bytes_per_s = costs.links.bytes_per_s[first, problem.dispatcher]
    answer_link_s = float(costs.links.frame_s[first, problem.dispatcher] + answer_bytes / bytes_per_s)
    return ChainReport.of_stages(stages, answer_bytes, answer_link_s, judge_chain(problem, chain).latency_s)


def _stage(
    model: PlannerModel, costs: FleetCosts, problem: ChainProblem, chain: Chain, chain_index: int, stage_index: int
) -> StageReport:
    board_index = chain.boards[stage_index]
    board = costs.boards[board_index]
    i, j = chain.positions[stage_index], chain.positions[stage_index + 1]
    start_op, stop_op = model.positions[i], model.positions[j]
    sender = problem.dispatcher if stage_index == 0 else chain.boards[stage_index - 1]
    estimate_s = float(np.sum(board.op_s[start_op:stop_op]))
    whole = board.measured.get((start_op, stop_op))
    return StageReport(
        chain=chain_index,
        stage=stage_index,
        board=board.name,
        start_op=start_op,
        stop_op=stop_op,
        until=None if stage_index == len(chain.boards) - 1 else stop_op,
        compute_s=estimate_s if whole is None else whole.compute_s,
        estimate_s=estimate_s,
        is_measured_whole=whole is not None or j == i + 1,
        stage_s=float(problem.stage_s[board_index, i, j]),
        memory_bytes=float(stage_bytes(costs.model, board)[i, j]),
        memory_limit_bytes=board.memory_bytes,
        arriving_bytes=float(problem.crossing_bytes[i]),
        link_s=float(problem.link_s[sender, board_index, i]),
    )

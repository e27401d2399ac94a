"""What a plan is and why, as values: for the terminal, for JSON, for pictures and for the plan file's comments."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from partitioning.planning import Chain, ChainProblem, judge_chain, stage_bytes
from planner.costs import FleetCosts
from planner.model import PlannerModel


@dataclass(frozen=True)
class StageReport:
    """One stage: its operators, and the step before it, the link that brings its frames.

    `compute_s` is the run alone; `stage_s` is what the board is busy per frame, moving its frames included, and what
    counts. `estimate_s` is what the sum of its pieces had predicted for `compute_s`. `until` is the cut behind it, None in
    a chain's last stage.
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


@dataclass(frozen=True)
class ChainReport:
    """One chain. `answer_link_s` is the way of its answers back; `limited_by` names its slowest step."""

    stages: tuple[StageReport, ...]
    answer_bytes: float
    answer_link_s: float
    bottleneck_s: float
    latency_s: float
    limited_by: str

    @property
    def boards(self) -> list[str]:
        """The boards, in order."""
        return [stage.board for stage in self.stages]


@dataclass(frozen=True)
class Alternative:
    """The best plan of another kind, for comparison. `rate_per_s` is None if there is none."""

    what: str
    rate_per_s: float | None
    latency_s: float | None
    boards: str
    energy_j: float | None = None


@dataclass(frozen=True)
class PlanReport:
    """A whole plan. `rate_per_s` is the bound: what the boards can do if nothing but the slowest step holds them up.

    `certified_gap` is 0 for a plan that is proven the best for these costs; else how far at most it is from the best; None
    for a plan that was given and not searched for. `rounds`, `estimate_error` and `repeat_error` tell of the revision, see
    `planner.revision.RevisedPlan`.
    """

    model: str
    objective: str
    chains: tuple[ChainReport, ...]
    rate_per_s: float
    latency_s: float
    energy_j: float | None
    certified_gap: float | None
    left_out: tuple[str, ...]
    alternatives: tuple[Alternative, ...] = ()
    notes: tuple[str, ...] = ()
    rounds: int = 0
    estimate_error: float = 0.0
    repeat_error: float = 0.0

    def as_json(self) -> dict[str, Any]:
        """The report as plain values."""
        return asdict(self)


def describe_chains(
    model: PlannerModel, costs: FleetCosts, problem: ChainProblem, chains: Sequence[Chain]
) -> tuple[ChainReport, ...]:
    """The figures of each chain under these costs."""
    return tuple(_describe(model, costs, problem, chain, index) for index, chain in enumerate(chains))


def _describe(
    model: PlannerModel, costs: FleetCosts, problem: ChainProblem, chain: Chain, chain_index: int
) -> ChainReport:
    stages = tuple(
        _stage(model, costs, problem, chain, chain_index, stage_index) for stage_index in range(len(chain.boards))
    )
    last, end = chain.boards[-1], chain.positions[-1]
    answer_s = float(problem.link_s[last, problem.dispatcher, end])
    steps = {f"{s.board}'s computing and moving": s.stage_s for s in stages}
    senders = ["the dispatcher", *(s.board for s in stages)]
    steps.update({f"the link from {sender} to {s.board}": s.link_s for sender, s in zip(senders, stages)})
    steps[f"the link from {stages[-1].board} to the dispatcher"] = answer_s
    slowest = max(steps, key=lambda step: steps[step])
    return ChainReport(
        stages=stages,
        answer_bytes=float(problem.crossing_bytes[end]),
        answer_link_s=answer_s,
        bottleneck_s=steps[slowest],
        latency_s=judge_chain(problem, chain).latency_s,
        limited_by=slowest,
    )


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

"""Plans from measured pieces, measures the chosen stages whole, and plans again until the two agree."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from partitioning.planning import (
    ChainProblem,
    InfeasiblePlanError,
    PlannedChains,
    Wishes,
    build_problem,
    diagnose,
    plan_chains,
)
from planner.board_profiles import BoardRecord, OnProfile, ProfileSettings, profile_boards
from planner.costs import FleetCosts, assemble_costs
from planner.links import MeasuredLinks
from planner.model import PlannerModel, Range
from planner.stage_trial import try_stage

# Agreement that ends the revision, and the rounds after which it ends without.
_AGREEMENT = 0.05
_MAX_ROUNDS = 8
Restrict = Callable[[ChainProblem], ChainProblem]
# Board, first position, last position: an index into `ChainProblem.stage_s`.
Stage = tuple[int, int, int]


@dataclass(frozen=True)
class RevisedPlan:
    """A plan whose stages were all measured whole, and then once more.

    Attributes:
        rounds: how often it was planned.
        estimate_error: how far the sums of pieces were from the stages measured whole, at most, in the last round that
            had new stages.
        repeat_error: how far the last measurement of the chosen stages is from the one before it, at most.
        agrees: the last measurement confirmed the plan's prediction.
    """

    costs: FleetCosts
    problem: ChainProblem
    planned: PlannedChains
    rounds: int
    estimate_error: float
    repeat_error: float
    agrees: bool


async def plan_and_revise(
    model: PlannerModel,
    records: Mapping[str, BoardRecord],
    links: MeasuredLinks,
    wishes: Wishes,
    settings: ProfileSettings,
    restrict: Restrict = lambda problem: problem,
    on_profile: OnProfile = lambda board, done, total: None,
) -> RevisedPlan:
    """The best plan, after its stages were measured as whole partitions on their boards.

    A sum of pieces is an estimate: each piece pays for a call of its own, and neighbours share caches. So the chosen stages
    are measured, their times replace the sums, and the plan is made again; it may change, and its new stages are measured in
    turn. Once all chosen stages are measured they are measured anew: what was predicted and what is measured then agree within
    5 %, or the new figures count and the plan is made again. After eight rounds the best plan of measured stages is taken.
    Args:
        restrict: what a problem is narrowed to before it is planned (cuts that the user wants, say).
    Raises: InfeasiblePlanError: no plan fits, with `diagnose`'s reason in the text. BoardError.
    """
    estimate_error = repeat_error = 0.0
    for round_ in range(1, _MAX_ROUNDS + 1):
        costs, problem = _costs(model, records, links, restrict)
        planned = _plan(costs, problem, wishes)
        chosen = _chosen_stages(planned)
        new = [stage for stage in chosen if not _is_measured(model, costs, stage)]
        # New stages first; once there are none, all of them anew: does what the plan counts on hold?
        await _measure(
            model, costs, new or chosen, records, settings if new else replace(settings, fresh=True), on_profile
        )
        error = _largest_change(problem, _costs(model, records, links, restrict)[1], new or chosen)
        if new:
            estimate_error = error
            continue
        repeat_error = error
        if repeat_error <= _AGREEMENT:
            return RevisedPlan(costs, problem, planned, round_, estimate_error, repeat_error, True)
    costs, problem = _costs(model, records, links, restrict)
    problem = _measured_only(model, costs, problem)
    return RevisedPlan(costs, problem, _plan(costs, problem, wishes), _MAX_ROUNDS, estimate_error, repeat_error, False)


async def measure_stages(
    model: PlannerModel,
    wanted: Mapping[str, Sequence[Range]],
    records: Mapping[str, BoardRecord],
    settings: ProfileSettings,
    on_profile: OnProfile,
) -> None:
    """Measures whole partitions, board by board: alone first, and then in service. Raises: BoardError, ProbeError."""
    for name, ranges in wanted.items():
        for ops in ranges:
            records[name].profiles.pop(ops, None)
    await profile_boards(model, wanted, records, settings, on_profile)

    async def try_all(name: str, ranges: Sequence[Range]) -> None:
        for ops in ranges:
            records[name].service_cpu_s[ops] = await try_stage(model, ops, records[name], settings)

    await asyncio.gather(*(try_all(name, ranges) for name, ranges in wanted.items()))


async def _measure(
    model: PlannerModel,
    costs: FleetCosts,
    stages: Sequence[Stage],
    records: Mapping[str, BoardRecord],
    settings: ProfileSettings,
    on_profile: OnProfile,
) -> None:
    wanted: dict[str, list[Range]] = {}
    for board, start, stop in stages:
        wanted.setdefault(costs.names[board], []).append((model.positions[start], model.positions[stop]))
    await measure_stages(model, wanted, records, settings, on_profile)


def _costs(
    model: PlannerModel, records: Mapping[str, BoardRecord], links: MeasuredLinks, restrict: Restrict
) -> tuple[FleetCosts, ChainProblem]:
    costs = assemble_costs(model, records, links)
    return costs, restrict(build_problem(costs.model, costs.boards, costs.links))


def _largest_change(before: ChainProblem, after: ChainProblem, stages: Sequence[Stage]) -> float:
    """The largest relative change of a stage's time; infinite if a stage no longer fits its board's memory."""
    return max(abs(float(after.stage_s[stage]) / float(before.stage_s[stage]) - 1) for stage in stages)


def _plan(costs: FleetCosts, problem: ChainProblem, wishes: Wishes) -> PlannedChains:
    try:
        return plan_chains(problem, wishes)
    except InfeasiblePlanError as error:
        raise InfeasiblePlanError(explain_infeasible(costs, str(error))) from error


def explain_infeasible(costs: FleetCosts, otherwise: str) -> str:
    """Which constraint fails, by how much, and the smallest changes that help; `otherwise` if memory is not the reason."""
    found = diagnose(costs.model, costs.boards, costs.links)
    if found is None:
        return otherwise
    mib = 2**20
    lines = ["the model does not fit these boards' memory."]
    for piece in found.too_big:
        lines.append(
            f"Operators {piece.start_op} to {piece.stop_op - 1} cannot be divided and fit no board: they need "
            f"{piece.needed_bytes / mib:.1f} MiB, {piece.board} has {piece.memory_bytes / mib:.1f}."
        )
    more = found.more_memory
    lines.append(
        f"It would fit with {more.added_bytes / mib:.1f} MiB more on {more.board} ({more.memory_bytes / mib:.1f} MiB in all)"
    )
    if found.more_boards is not None:
        n = found.more_boards.count
        lines.append(f"or with {n} more board{'s' if n > 1 else ''} like {found.more_boards.like}")
    return f"{' '.join(lines)}. Or quantise the model: --quantize int8 takes about a quarter of float32."


def _chosen_stages(planned: PlannedChains) -> list[Stage]:
    return [
        (board, start, stop)
        for chain in planned.chains
        for board, start, stop in zip(chain.boards, chain.positions[:-1], chain.positions[1:])
    ]


def _is_measured(model: PlannerModel, costs: FleetCosts, stage: Stage) -> bool:
    board, start, stop = stage
    whole = costs.boards[board].measured.get((model.positions[start], model.positions[stop]))
    return whole is not None and whole.service_cpu_s is not None


def _measured_only(model: PlannerModel, costs: FleetCosts, problem: ChainProblem) -> ChainProblem:
    """The problem without the stages that are only estimated."""
    stage_s = np.full_like(problem.stage_s, np.inf)
    for index, board in enumerate(costs.boards):
        for first, last in board.measured:
            i, j = model.position_index(first), model.position_index(last)
            stage_s[index, i, j] = problem.stage_s[index, i, j]
    return replace(problem, stage_s=stage_s)

"""Plans from measured pieces, measures the chosen stages whole, and plans again until the two agree."""

from __future__ import annotations

from collections.abc import Callable, Mapping
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

# Agreement that ends the revision, and the rounds after which it ends without.
_AGREEMENT = 0.05
_MAX_ROUNDS = 8
OnRound = Callable[[int, int], None]


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
    restrict: Callable[[ChainProblem], ChainProblem] = lambda problem: problem,
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
        costs = assemble_costs(model, records, links)
        problem = restrict(build_problem(costs.model, costs.boards, costs.links))
        planned = _plan(costs, problem, wishes)
        predicted = _chosen_stages(model, costs, planned)
        new = {key: s for key, s in predicted.items() if not _is_measured(model, costs, *key)}
        if new:
            await _measure(model, new, records, settings, on_profile)
            estimate_error = _largest_error(new, records)
            continue
        await _measure(model, predicted, records, replace(settings, fresh=True), on_profile)
        repeat_error = _largest_error(predicted, records)
        if repeat_error <= _AGREEMENT:
            return RevisedPlan(costs, problem, planned, round_, estimate_error, repeat_error, True)
    costs = assemble_costs(model, records, links)
    problem = restrict(_measured_only(model, costs, build_problem(costs.model, costs.boards, costs.links)))
    planned = _plan(costs, problem, wishes)
    return RevisedPlan(costs, problem, planned, _MAX_ROUNDS, estimate_error, repeat_error, False)


async def _measure(
    model: PlannerModel,
    stages: Mapping[tuple[str, Range], float],
    records: Mapping[str, BoardRecord],
    settings: ProfileSettings,
    on_profile: OnProfile,
) -> None:
    wanted: dict[str, list[Range]] = {}
    for name, ops in sorted(stages):
        records[name].profiles.pop(ops, None)
        wanted.setdefault(name, []).append(ops)
    await profile_boards(model, wanted, records, settings, on_profile)


def _largest_error(predicted: Mapping[tuple[str, Range], float], records: Mapping[str, BoardRecord]) -> float:
    return max(abs(s / records[name].profiles[ops].run_s - 1) for (name, ops), s in predicted.items())


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


def _chosen_stages(model: PlannerModel, costs: FleetCosts, planned: PlannedChains) -> dict[tuple[str, Range], float]:
    """(board, operators) of each stage of the plan, with the seconds of computing that the plan counts on."""
    predicted = {}
    for chain in planned.chains:
        for board_index, start, stop in zip(chain.boards, chain.positions[:-1], chain.positions[1:]):
            board = costs.boards[board_index]
            ops = (model.positions[start], model.positions[stop])
            whole = board.measured.get(ops)
            predicted[board.name, ops] = float(np.sum(board.op_s[slice(*ops)])) if whole is None else whole.compute_s
    return predicted


def _is_measured(model: PlannerModel, costs: FleetCosts, name: str, ops: Range) -> bool:
    board = costs.boards[costs.names.index(name)]
    return ops in board.measured or ops in model.pieces


def _measured_only(model: PlannerModel, costs: FleetCosts, problem: ChainProblem) -> ChainProblem:
    """The problem without the stages that are only estimated."""
    stage_s = np.full_like(problem.stage_s, np.inf)
    for index, board in enumerate(costs.boards):
        ranges = [*model.pieces, *board.measured]
        for first, last in ranges:
            i, j = model.position_index(first), model.position_index(last)
            stage_s[index, i, j] = problem.stage_s[index, i, j]
    return replace(problem, stage_s=stage_s)

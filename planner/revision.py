"""Plans from measured pieces, measures the chosen stages whole, and plans again until the two agree."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from partitioning.planning import (
    ChainProblem,
    InfeasiblePlanError,
    PlannedChains,
    PlanningError,
    Wishes,
    build_problem,
    diagnose,
    plan_chains,
)
from planner.board_profiles import BoardRecord, OnProfile, ProfileSettings, profile_boards
from planner.chain_trial import stages_of, try_chains
from planner.costs import FleetCosts, assemble_costs
from planner.links import MeasuredLinks
from planner.model import PlannerModel, Range

# Agreement that ends the revision, and the rounds after which it ends without.
AGREEMENT = 0.05
_MAX_ROUNDS = 8
# Rounds that only found a stage too big for its board do not count: such a stage is out of the search, another is tried.
_MOST_ATTEMPTS = 64
_MIB = 2**20
# What a partition keeps differs by up to 0.7 MiB from one load to the next, and sums of pieces by some percent from the whole.
_MARGIN_SHARE = 0.03
_MARGIN_MIB = 0.7
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
        repeat_error: how far the last measurement of the chosen stages is from the one before it, at most; 0 if there was none.
        agrees: the last measurement confirmed the plan's prediction.
    """

    costs: FleetCosts
    problem: ChainProblem
    planned: PlannedChains
    rounds: int
    estimate_error: float
    repeat_error: float
    agrees: bool


def unrestricted(problem: ChainProblem) -> ChainProblem:
    """What a problem is narrowed to if all is left to the planner: itself."""
    return problem


async def plan_and_revise(
    model: PlannerModel,
    records: Mapping[str, BoardRecord],
    links: MeasuredLinks,
    wishes: Wishes,
    settings: ProfileSettings,
    restrict: Restrict = unrestricted,
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
    rounds = 0
    for _ in range(_MOST_ATTEMPTS):
        costs, problem = _costs(model, records, links, restrict)
        planned = _plan(costs, problem, wishes, restrict)
        chosen = _chosen_stages(planned)
        new = [stage for stage in chosen if not _is_measured(model, costs, stage)]
        # New stages first; once there are none, all of them anew: does what the plan counts on hold?
        how = settings if new else replace(settings, fresh=True)
        after = await _measure(
            model, planned, new or chosen, records, how, lambda: _costs(model, records, links, restrict)[1], on_profile
        )
        error = _largest_change(problem, after, new or chosen)
        if not np.isfinite(error):
            continue
        rounds += 1
        if new:
            estimate_error = error
        else:
            repeat_error = error
            if repeat_error <= AGREEMENT:
                return RevisedPlan(costs, problem, planned, rounds, estimate_error, repeat_error, True)
        if rounds == _MAX_ROUNDS:
            break
    costs, problem = _costs(model, records, links, restrict)
    known = _measured_only(model, costs, problem)
    planned = _beside(_plan(costs, known, wishes, restrict), problem, wishes)
    return RevisedPlan(costs, known, planned, rounds, estimate_error, repeat_error, False)


async def _measure(
    model: PlannerModel,
    planned: PlannedChains,
    stages: Sequence[Stage],
    records: Mapping[str, BoardRecord],
    settings: ProfileSettings,
    recompute: Callable[[], ChainProblem],
    on_profile: OnProfile,
) -> ChainProblem:
    """These stages alone, then all in service, if they fit the boards' memory, now that it is known. The problem as it then is."""
    names = list(records)
    wanted: dict[str, list[Range]] = {}
    for board, start, stop in stages:
        wanted.setdefault(names[board], []).append((model.positions[start], model.positions[stop]))
    await profile_boards(model, wanted, records, settings, on_profile, replace_known=True)
    problem = recompute()
    if not all(np.isfinite(problem.stage_s[stage]) for stage in stages):
        return problem
    chains = [stages_of(model, names, chain) for chain in planned.chains]
    await try_chains(model, chains, records, settings)
    return recompute()


def _costs(
    model: PlannerModel, records: Mapping[str, BoardRecord], links: MeasuredLinks, restrict: Restrict
) -> tuple[FleetCosts, ChainProblem]:
    costs = assemble_costs(model, records, links)
    return costs, restrict(build_problem(costs.model, costs.boards, costs.links))


def _largest_change(before: ChainProblem, after: ChainProblem, stages: Sequence[Stage]) -> float:
    """The largest relative change of a stage's time; infinite if a stage no longer fits its board's memory."""
    return max(abs(float(after.stage_s[stage]) / float(before.stage_s[stage]) - 1) for stage in stages)


def _plan(costs: FleetCosts, problem: ChainProblem, wishes: Wishes, restrict: Restrict) -> PlannedChains:
    try:
        return plan_chains(problem, wishes)
    except InfeasiblePlanError as error:
        is_open = wishes == Wishes(wishes.objective) and restrict is unrestricted
        raise InfeasiblePlanError(explain_infeasible(costs, str(error), is_open)) from error


def explain_infeasible(costs: FleetCosts, reason: str, is_open: bool = True) -> str:
    """Which constraint fails, by how much, and the smallest changes that help.

    Args:
        reason: what the search says.
        is_open: nothing is wished of the cuts, pins, and numbers of boards and chains, which the changes are not tried with.
    """
    found = diagnose(costs.model, costs.boards, costs.links)
    if found is None:
        return (
            reason if is_open else f"{reason} Without the wished cuts, pins and numbers of boards and chains it fits."
        )
    pieces = [
        f"Operators {piece.start_op} to {piece.stop_op - 1} cannot be divided and fit no board: they need "
        f"{math.ceil(10 * piece.needed_bytes / _MIB) / 10:.1f} MiB, {piece.board} has "
        f"{math.floor(10 * piece.memory_bytes / _MIB) / 10:.1f}."
        for piece in found.too_big
    ]
    # Whole MiB, upwards: boards.yaml takes no others, and what is named must be enough.
    in_all_mib = math.ceil((1 + _MARGIN_SHARE) * found.more_memory.memory_bytes / _MIB + _MARGIN_MIB)
    added_mib = math.ceil(in_all_mib - (found.more_memory.memory_bytes - found.more_memory.added_bytes) / _MIB)
    changes = [f"{added_mib} MiB more on {found.more_memory.board} ({in_all_mib} MiB in all)"]
    if found.more_boards is not None:
        n = found.more_boards.count
        changes.append(f"with {n} more board{'s' if n > 1 else ''} like {found.more_boards.like}")
    condition = "" if is_open else ", if cuts, pins and the numbers of boards and chains are left open"
    lines = ["the model does not fit these boards' memory.", *pieces]
    lines.append(f"It would fit with {' or '.join(changes)}{condition}.")
    return f"{' '.join(lines)} A float32 model quantised with --quantize int8 takes about a quarter."


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


def _beside(planned: PlannedChains, problem: ChainProblem, wishes: Wishes) -> PlannedChains:
    """A plan of measured stages, and beside it the best of other kinds, which may be of stages that are only estimated."""
    fewer = (
        plan_if_possible(problem, replace(wishes, max_boards=planned.n_boards - 1)) if planned.n_boards > 1 else None
    )
    best = plan_if_possible(problem, wishes)
    others = [best, best.other_number] if best is not None else []
    differing = [one for one in others if one is not None and len(one.chains) != len(planned.chains)]
    return replace(
        planned, fewer_boards=fewer, other_number=max(differing, key=lambda one: one.rate_per_s, default=None)
    )


def plan_if_possible(problem: ChainProblem, wishes: Wishes) -> PlannedChains | None:
    """The best plan of these costs as they are; None if there is none."""
    try:
        return plan_chains(problem, wishes)
    except (InfeasiblePlanError, PlanningError):
        return None


def _measured_only(model: PlannerModel, costs: FleetCosts, problem: ChainProblem) -> ChainProblem:
    """The problem without the stages that are only estimated."""
    stage_s = np.full_like(problem.stage_s, np.inf)
    for index, board in enumerate(costs.boards):
        for first, last in board.measured:
            if not {first, last} <= set(model.positions):
                continue  # measured for a plan with cuts that this one does not have
            i, j = model.position_index(first), model.position_index(last)
            stage_s[index, i, j] = problem.stage_s[index, i, j]
    return replace(problem, stage_s=stage_s)

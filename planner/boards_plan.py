"""Plans a model for the boards of an inventory: measures what is not known, plans, and says why."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

from bundle.plan import Plan, PlannedChain, PlannedStage
from fleet.inventory import DISPATCHER, Inventory
from partitioning.planning import (
    Chain,
    ChainProblem,
    ChainSet,
    InfeasiblePlanError,
    Objective,
    PlannedChains,
    build_problem,
    fix_cuts,
    judge_chain,
)
from planner.board_profiles import BoardRecord, OnProfile, ProfileSettings, describe_boards, profile_boards
from planner.chain_trial import stages_of, try_chains
from planner.costs import FleetCosts, assemble_costs
from planner.dispatcher_capacity import DispatcherCapacity, DispatcherLimit, measure_dispatcher
from planner.errors import WishError
from planner.exchange import ExchangeBudget
from planner.group_chains import plan_in_groups
from planner.links import MeasuredLinks, OnLink, measure_links
from planner.model import PlannerModel, Range
from planner.report import Alternative, PlanReport, Proof, describe_chains
from planner.revision import AGREEMENT, RevisedPlan, plan_and_revise, unrestricted
from planner.shared_plan import LEAST_GAIN, given_segments
from planner.sharing import check_sharing, may_share, share_if_sooner
from planner.strip_times import StripModel
from planner.wishes import (
    OBJECTIVES,
    GroupWish,
    PlanWishes,
    require_cuts,
    require_distinct,
    require_sensors,
    resolve_wishes,
)


@dataclass(frozen=True)
class Listeners:
    """Who hears of progress: (board, done, total) of profiles, (done, total) of links."""

    on_profile: OnProfile = lambda board, done, total: None
    on_link: OnLink = lambda done, total: None
    on_step: Callable[[str], None] = lambda what: None


@dataclass(frozen=True)
class FleetMeasurements:
    """What was measured: a record of each board, and all links."""

    records: dict[str, BoardRecord]
    links: MeasuredLinks
    dispatcher: DispatcherCapacity


@dataclass(frozen=True)
class BoardsPlan:
    """A plan as users keep it, what it is expected to do, and why."""

    plan: Plan
    report: PlanReport


async def measure_fleet(
    model: PlannerModel,
    inventory: Inventory,
    settings: ProfileSettings,
    listeners: Listeners,
    link_budget: ExchangeBudget | None = None,
) -> FleetMeasurements:
    """Profiles all pieces of the model on all boards, then measures the links, which would disturb the profiles.

    Raises: BoardError, ProbeError.
    """
    require_distinct(inventory)
    listeners.on_step("asking the boards")
    records = await describe_boards(inventory.boards, settings)
    listeners.on_step("profiling")
    await profile_boards(model, dict.fromkeys(records, model.pieces), records, settings.rough, listeners.on_profile)
    listeners.on_step("measuring links")
    budget = link_budget or _link_budget(settings)
    links = await measure_links(inventory, credentials=settings.credentials, budget=budget, on_link=listeners.on_link)
    dispatcher = await measure_dispatcher(inventory.boards, credentials=settings.credentials, budget=budget)
    return FleetMeasurements(records, links, dispatcher)


def _link_budget(settings: ProfileSettings) -> ExchangeBudget:
    """The usual one, but no longer than a partition may take, and as patient as the user is."""
    return ExchangeBudget(min(ExchangeBudget.seconds, settings.budget_s), timeout_s=settings.timeout_s)


async def plan_on_boards(
    model: PlannerModel,
    inventory: Inventory,
    wishes: PlanWishes,
    settings: ProfileSettings,
    listeners: Listeners,
    measured: FleetMeasurements | None = None,
) -> BoardsPlan:
    """The best plan for these boards, its stages measured whole.

    Args:
        measured: what `measure_fleet` gave for this model and inventory; measured first without it.
    Raises: InfeasiblePlanError: nothing fits, and the smallest change that would. WishError, PlanningError: wishes that make
        no sense. BoardError, ProbeError.
    """
    search_wishes = resolve_wishes(wishes, inventory)
    model = model.with_positions(wishes.cuts or ())
    require_cuts(wishes, model)
    measured = await _measured(model, inventory, settings, listeners, measured)
    require_sensors(wishes, measured.records)

    cut_positions = None if wishes.cuts is None else [model.position_index(cut) for cut in wishes.cuts]
    restrict = unrestricted if cut_positions is None else partial(fix_cuts, cut_positions=cut_positions)
    listeners.on_step("planning, and measuring the chosen stages whole")
    revise = partial(
        plan_and_revise,
        model,
        measured.records,
        measured.links,
        settings=settings,
        restrict=restrict,
        on_profile=listeners.on_profile,
    )
    revised = await revise(search_wishes)
    limit = _dispatcher_limit(model, measured)
    n_chains = len(revised.planned.chains)
    if wishes.n_chains is None and n_chains > 1 and revised.planned.rate_per_s > limit.frames_per_s:
        # More boards than this machine can feed: as few chains as it can.
        for fewer in range(1, n_chains):
            smaller = await revise(replace(search_wishes, n_chains=fewer))
            if smaller.planned.rate_per_s >= limit.frames_per_s:
                revised = smaller
                break
    plan = _to_plan(model, revised.costs, wishes.objective, revised.planned.chains)
    report = _report(model, revised, wishes.objective, limit)
    if wishes.groups is not None:
        listeners.on_step("measuring operators in parts")
        in_groups, as_planned = await plan_in_groups(
            model, plan, report, revised.costs, measured.records, limit, wishes, settings, listeners.on_profile
        )
        if not _has_groups(in_groups):
            return BoardsPlan(in_groups, as_planned)
        tried = (await _check_groups(model, in_groups, inventory, settings, listeners, measured)).report
        as_tried = as_planned.as_tried(tried)
        if wishes.groups == GroupWish() and as_tried.value > (1 - LEAST_GAIN) * report.value:
            return BoardsPlan(plan, report.beside("groups of boards, as tried", as_tried))
        return BoardsPlan(in_groups, as_tried)
    if may_share(wishes, report):
        listeners.on_step("measuring operators in parts")
        plan, report = await share_if_sooner(
            model, plan, report, measured.records, measured.links, limit, wishes, settings, listeners.on_profile
        )
    return BoardsPlan(plan, report)


async def check_plan(
    model: PlannerModel,
    plan: Plan,
    inventory: Inventory,
    settings: ProfileSettings,
    listeners: Listeners,
    measured: FleetMeasurements | None = None,
) -> BoardsPlan:
    """What a plan made elsewhere, by hand for instance, is expected to do on these boards; its cuts must be indices.

    Raises: WishError: a board or cut that does not exist, or segments that cannot be.
        SegmentError: operators that cannot be shared as the plan says. InfeasiblePlanError: a stage does not fit its board's
        memory.
    """
    require_distinct(inventory)
    cuts = sorted({cut for chain in plan.chains for cut in _indices(chain)})
    model = model.with_positions(cuts)
    names = [board.name for board in inventory.boards]
    unknown = sorted(set(plan.board_names) - set(names))
    if unknown:
        raise WishError(
            f"the plan uses {', '.join(unknown)}, which the boards do not name. They are: {', '.join(names)}."
        )
    if _has_groups(plan):
        return await _check_groups(model, plan, inventory, settings, listeners, measured)
    measured = await _measured(model, inventory, settings, listeners, measured)
    chains = tuple(
        Chain(
            tuple(names.index(stage.board) for stage in chain.stages),
            (0, *(model.position_index(cut) for cut in _indices(chain)), len(model.positions) - 1),
        )
        for chain in plan.chains
    )
    listeners.on_step("measuring the plan's stages whole")
    stages = [stages_of(model, names, chain) for chain in chains]
    wanted: dict[str, list[Range]] = {}
    for name, ops in itertools.chain.from_iterable(stages):
        wanted.setdefault(name, []).append(ops)
    await profile_boards(model, wanted, measured.records, settings, listeners.on_profile, replace_known=True)
    costs, problem, judged = _judge(model, measured, chains)
    if not all(cost.bottleneck_s < float("inf") for cost in judged.costs):
        raise InfeasiblePlanError(_too_big(model, costs, problem, chains))
    # Only now: what does not fit a board must not be put into service there.
    await try_chains(model, stages, measured.records, settings)
    costs, problem, judged = _judge(model, measured, chains)
    limit = _dispatcher_limit(model, measured)
    report = PlanReport(
        model=model.name,
        objective=plan.objective,
        chains=describe_chains(model, costs, problem, chains),
        rate_per_s=limit.of(judged.rate_per_s),
        latency_s=min(cost.latency_s for cost in judged.costs),
        energy_j=judged.costs[0].energy_j,
        proof=Proof.GIVEN,
        lower_bound=None,
        certified_gap=None,
        left_out=_left_out(costs, judged),
        notes=(*costs.notes, *limit.notes(judged.rate_per_s)),
    )
    return BoardsPlan(plan, report)


async def _check_groups(
    model: PlannerModel,
    plan: Plan,
    inventory: Inventory,
    settings: ProfileSettings,
    listeners: Listeners,
    measured: FleetMeasurements | None,
) -> BoardsPlan:
    """What a plan does in which boards share stages, against the leaders of its groups alone."""
    strips = StripModel(model.graph)
    segments = {}
    for chain in plan.chains:  # before minutes of measuring
        edges = [0, *_indices(chain), len(model.graph.operators)]
        for stage, ops in zip(chain.stages, zip(edges, edges[1:])):
            if stage.shared_with:
                segments[stage.board] = given_segments(strips, stage, ops)
    measured = await _measured(model, inventory, settings, listeners, measured)
    leaders = [
        PlannedChain(tuple(PlannedStage(stage.board, stage.until) for stage in chain.stages)) for chain in plan.chains
    ]
    alone = await check_plan(model, replace(plan, chains=tuple(leaders)), inventory, settings, listeners, measured)
    listeners.on_step("measuring operators in parts")
    limit = _dispatcher_limit(model, measured)
    report = await check_sharing(
        model, plan, segments, alone.report, measured.records, measured.links, limit, settings, listeners.on_profile
    )
    return BoardsPlan(plan, report)


def _has_groups(plan: Plan) -> bool:
    return any(stage.shared_with for chain in plan.chains for stage in chain.stages)


def _judge(
    model: PlannerModel, measured: FleetMeasurements, chains: tuple[Chain, ...]
) -> tuple[FleetCosts, ChainProblem, ChainSet]:
    costs = assemble_costs(model, measured.records, measured.links)
    problem = build_problem(costs.model, costs.boards, costs.links)
    return costs, problem, ChainSet(chains, tuple(judge_chain(problem, chain) for chain in chains))


def _dispatcher_limit(model: PlannerModel, measured: FleetMeasurements) -> DispatcherLimit:
    cost = measured.links.transport[DISPATCHER]
    end = model.positions[-1]
    return measured.dispatcher.limit(model.crossing_bytes(0), model.crossing_bytes(end), cost)


async def _measured(
    model: PlannerModel,
    inventory: Inventory,
    settings: ProfileSettings,
    listeners: Listeners,
    known: FleetMeasurements | None,
) -> FleetMeasurements:
    """What is known, and the pieces that a cut of the user's has added."""
    if known is None:
        return await measure_fleet(model, inventory, settings, listeners)
    wanted = dict.fromkeys(known.records, model.pieces)
    await profile_boards(model, wanted, known.records, settings.rough, listeners.on_profile)
    return known


def _indices(chain: PlannedChain) -> list[int]:
    names = [cut for cut in chain.cuts if isinstance(cut, str)]
    if names:
        raise WishError(f"cuts {', '.join(names)} are names; they must be made indices before a plan is checked.")
    return [int(cut) for cut in chain.cuts]


def _to_plan(model: PlannerModel, costs: FleetCosts, objective: str, chains: Sequence[Chain]) -> Plan:
    return Plan(model.name, objective, tuple(_to_chain(model, costs, chain) for chain in chains))


def _to_chain(model: PlannerModel, costs: FleetCosts, chain: Chain) -> PlannedChain:
    ends = [model.positions[p] for p in chain.positions[1:-1]]
    untils: list[int | None] = [*ends, None]
    return PlannedChain(tuple(PlannedStage(costs.names[b], until) for b, until in zip(chain.boards, untils)))


def _report(model: PlannerModel, revised: RevisedPlan, objective: str, limit: DispatcherLimit) -> PlanReport:
    planned, costs = revised.planned, revised.costs
    notes = [*costs.notes, *limit.notes(planned.rate_per_s)]
    proof, lower_bound, gap = _proof(revised, objective)
    if not revised.agrees:
        notes.append(_disagreement(revised))
    return PlanReport(
        model=model.name,
        objective=objective,
        chains=describe_chains(model, costs, revised.problem, planned.chains),
        rate_per_s=limit.of(planned.rate_per_s),
        latency_s=min(cost.latency_s for cost in planned.costs),
        energy_j=planned.costs[0].energy_j,
        proof=proof,
        lower_bound=lower_bound,
        certified_gap=gap,
        left_out=_left_out(costs, planned),
        alternatives=_alternatives(costs, planned),
        notes=tuple(notes),
        rounds=revised.rounds,
        estimate_error=revised.estimate_error,
        repeat_error=revised.repeat_error,
    )


def _disagreement(revised: RevisedPlan) -> str:
    why = "every measurement has led to another plan: what can be cut is too much alike, or a board is too noisy or too hot"
    if revised.repeat_error > AGREEMENT:
        why = (
            f"two measurements of a stage still differ by {revised.repeat_error:.0%}: a board is too noisy or too hot for a "
            "prediction within 5%"
        )
    return f"after {revised.rounds} rounds {why}. The plan is the best of the stages that were measured."


def _proof(revised: RevisedPlan, objective: str) -> tuple[Proof, float | None, float | None]:
    """What is proven, the bound, and the gap to it. The large search bounds one chain only, and measured stages nothing else."""
    planned = revised.planned
    if not revised.agrees:
        return Proof.MEASURED, None, None
    if planned.proven:
        return Proof.PROVEN, planned.value(Objective(objective)), 0.0
    if len(planned.chains) > 1 or not planned.lower_bound:
        return Proof.OPEN, None, None
    gap = planned.value(Objective(objective)) / planned.lower_bound - 1
    return Proof.BOUNDED, planned.lower_bound, gap


def _alternatives(costs: FleetCosts, planned: PlannedChains) -> tuple[Alternative, ...]:
    found = []
    if planned.n_boards > 1:
        fewer = f"at most {planned.n_boards - 1} board{'s' if planned.n_boards > 2 else ''}"
        found.append(Alternative.of_chains(fewer, costs.names, planned.fewer_boards))
    if planned.other_number is not None:
        n = len(planned.other_number.chains)
        found.append(Alternative.of_chains(f"{n} chain{'s' if n > 1 else ''}", costs.names, planned.other_number))
    return tuple(found)


def _left_out(costs: FleetCosts, chains: ChainSet) -> tuple[str, ...]:
    used = {board for chain in chains.chains for board in chain.boards}
    return tuple(name for index, name in enumerate(costs.names) if index not in used)


def _too_big(model: PlannerModel, costs: FleetCosts, problem: ChainProblem, chains: Sequence[Chain]) -> str:
    stages = [stage for chain in describe_chains(model, costs, problem, chains) for stage in chain.stages]
    lines = [
        f"stage {s.stage} on {s.board} needs {s.memory_bytes / 2**20:.1f} MiB of {s.memory_limit_bytes / 2**20:.1f}"
        for s in stages
        if s.memory_bytes > s.memory_limit_bytes
    ]
    return f"the plan does not fit: {'; '.join(lines)}. Move a cut, or give the stage to a board with more memory."


__all__ = [
    "OBJECTIVES",
    "BoardsPlan",
    "FleetMeasurements",
    "Listeners",
    "PlanWishes",
    "check_plan",
    "measure_fleet",
    "plan_on_boards",
]

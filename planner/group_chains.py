"""Chains whose stages groups of boards share, beside one chain of single boards, several, and one group for the whole model."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace

from bundle.plan import Plan, PlannedChain, PlannedStage
from partitioning.planning import Chain, InfeasiblePlanError, Objective, Wishes, build_problem
from partitioning.planning.group_search import Group, GroupChain, plan_groups
from planner.board_profiles import BoardRecord, OnProfile, ProfileSettings
from planner.costs import FleetCosts
from planner.dispatcher_capacity import DispatcherLimit
from planner.group_stages import MeasuredGroups
from planner.model import PlannerModel
from planner.report import Alternative, ChainReport, PlanReport, Proof, describe_chains
from planner.revision import plan_if_possible
from planner.shared_plan import LEAST_GAIN, busy_boards, planned_segments
from planner.sharing import shared_stage
from planner.strip_times import StripModel, measure_strips
from planner.wishes import GroupWish, PlanWishes

_ONE_GROUP, _CHAIN = "one group of boards for the whole model", "groups of boards in a chain"


@dataclass(frozen=True)
class GroupPlan:
    """A chain of groups as users keep it, and its figures."""

    chain: PlannedChain
    report: ChainReport

    @property
    def is_shared(self) -> bool:
        """Whether boards share any stage; groups may leave all work to their leaders."""
        return any(stage.shared_with for stage in self.chain.stages)

    @property
    def boards(self) -> tuple[str, ...]:
        """All that have work."""
        return tuple(board for stage in self.chain.stages for board in stage.boards)

    def alternative(self, what: str, limit: DispatcherLimit) -> Alternative:
        """As what it may be compared with."""
        boards = " > ".join(stage.label for stage in self.report.stages)
        return Alternative(what, limit.of(1 / self.report.bottleneck_s), self.report.latency_s, boards)

    def value(self, objective: Objective, limit: DispatcherLimit) -> float:
        """What the objective makes small: seconds for a frame, or between two of them."""
        return self.report.latency_s if objective is Objective.LATENCY else 1 / limit.of(1 / self.report.bottleneck_s)


async def plan_in_groups(
    model: PlannerModel,
    plan: Plan,
    report: PlanReport,
    costs: FleetCosts,
    records: Mapping[str, BoardRecord],
    limit: DispatcherLimit,
    wishes: PlanWishes,
    settings: ProfileSettings,
    on_profile: OnProfile,
) -> tuple[Plan, PlanReport]:
    """Measures strips, and gives the best chain of the wished groups, beside what plans of other kinds would do.

    Neighbours in the order of `costs` make groups. Where neither stages nor sizes are wished, the plan without groups stands if
    they gain little.
    Args: plan, report: the best of single boards, one chain or several.
    Raises: InfeasiblePlanError: no chain of such groups can hold the model. BoardError.
    """
    fleet = costs.only(_quickest(costs, wishes.max_boards))
    strips = StripModel(model.graph)
    times = await measure_strips(strips, {name: records[name] for name in fleet.names}, settings.rough, on_profile)
    objective, wish = Objective(wishes.objective), wishes.groups or GroupWish()
    found = find_groups(model, MeasuredGroups(model, strips, fleet, times), objective, wish)
    is_open = wish == GroupWish()
    enough = (1 - LEAST_GAIN) * report.value if is_open else float("inf")
    wished = [
        one
        for one in found.values()
        if one is not None
        and wish.n_stages in (None, len(one.chain.stages))
        and (one.is_shared or not is_open)
        and one.value(objective, limit) <= enough
    ]
    if not wished and not is_open:
        raise InfeasiblePlanError(
            "no chain of such groups can hold the model: every board of a group needs the memory of its whole stage. Ask for "
            "more stages, or give boards more memory."
        )
    chosen = min(wished, key=lambda one: one.value(objective, limit), default=None)
    shared = [
        Alternative(what, None, None, "") if one is None else one.alternative(what, limit)
        for what, one in found.items()
        if one is not chosen or one is None
    ]
    if chosen is None:
        return plan, replace(report, alternatives=(*report.alternatives, *shared))
    rate_per_s = 1 / chosen.report.bottleneck_s
    return replace(plan, chains=(chosen.chain,)), replace(
        report,
        chains=(chosen.report,),
        rate_per_s=limit.of(rate_per_s),
        latency_s=chosen.report.latency_s,
        energy_j=None,
        proof=Proof.SHARED,
        lower_bound=None,
        certified_gap=None,
        left_out=tuple(name for name in costs.names if name not in chosen.boards),
        alternatives=(*_of_single_boards(report, costs, wishes), *shared),
        notes=(*costs.notes, *limit.notes(rate_per_s)),
        rounds=0,
    )


def find_groups(
    model: PlannerModel, groups: MeasuredGroups, objective: Objective, wish: GroupWish
) -> dict[str, GroupPlan | None]:
    """The best of each kind: one group, and a chain of groups as wished; None where the model fits none."""
    n_boards = groups.problem.n_boards
    runs = [(a, b) for a in range(n_boards) for b in range(a + 1, n_boards + 1)]
    sized = [(a, b) for a, b in runs if wish.size in (None, b - a)]
    several = range(2, min(n_boards, groups.problem.end) + 1)
    kinds: dict[str, tuple[list[Group], Collection[int]]] = {}
    if wish.n_stages != 1:
        kinds[_CHAIN] = sized, several if wish.n_stages is None else [wish.n_stages]
    kinds[_ONE_GROUP] = (sized if wish.n_stages in (None, 1) else [(a, b) for a, b in runs if b > a + 1]), [1]
    found: dict[str, GroupPlan | None] = {}
    for what, (allowed, n_stages) in kinds.items():
        try:
            best = plan_groups(groups, groups.leader_links, allowed, objective, n_stages)
        except InfeasiblePlanError:
            found[what] = None
        else:
            found[what] = _follow(model, groups, best)
    return found


def _follow(model: PlannerModel, groups: MeasuredGroups, found: GroupChain) -> GroupPlan:
    """Plans each stage, from cuts to segments."""
    costs = groups.costs
    leaders = Chain(tuple(leader for leader, _ in found.groups), found.positions)
    (alone,) = describe_chains(model, costs, groups.problem, [leaders])
    stages, reports = [], []
    for stage, (group, i, j) in zip(alone.stages, found.stages):
        planned, described = PlannedStage(stage.board, stage.until), stage
        if group[1] - group[0] > 1:
            shared, stage_s = groups.plan(group, i, j)
            busy = busy_boards(shared)
            names = [costs.names[group[0] + b] for b in busy]
            if len(busy) > 1:
                segments = planned_segments(shared.segments, busy)
                planned = PlannedStage(stage.board, stage.until, tuple(names[1:]), segments)
                described = shared_stage(stage, names, busy, shared, stage_s)
        stages.append(planned)
        reports.append(described)
    return GroupPlan(PlannedChain(tuple(stages)), alone.with_stages(reports))


def _quickest(costs: FleetCosts, most: int | None) -> list[int]:
    """So many of the boards, in their order."""
    by_time = sorted(range(len(costs.boards)), key=lambda b: float(costs.boards[b].op_s.sum()))
    return sorted(by_time[:most])


def _of_single_boards(report: PlanReport, costs: FleetCosts, wishes: PlanWishes) -> Iterator[Alternative]:
    """What was planned without groups, and the best of one chain where that is several, or the other way round."""
    boards = " | ".join(" > ".join(chain.boards) for chain in report.chains)
    yield Alternative(_chains(len(report.chains)), report.rate_per_s, report.latency_s, boards, report.energy_j)
    problem, objective = build_problem(costs.model, costs.boards, costs.links), Objective(wishes.objective)
    if len(report.chains) > 1:
        one = plan_if_possible(problem, Wishes(objective, wishes.max_boards, n_chains=1))
        yield Alternative.of_chains(_chains(1), costs.names, one)
        return
    best = plan_if_possible(problem, Wishes(Objective.THROUGHPUT, wishes.max_boards))
    several = best if best is None or len(best.chains) > 1 else best.other_number
    if several is not None:
        yield Alternative.of_chains(_chains(len(several.chains)), costs.names, several)


def _chains(n: int) -> str:
    return "one chain of single boards" if n == 1 else f"{n} chains side by side"

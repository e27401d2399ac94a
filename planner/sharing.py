"""Whether boards that share operators answer sooner than the best chain, and the plan in which they do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from bundle.plan import Plan
from fleet.inventory import Board
from partitioning.planning import Objective
from partitioning.strips import SharedSegment
from partitioning.strips.search import SharedPlan
from planner.board_profiles import BoardRecord, OnProfile, ProfileSettings
from planner.costs import memory_bytes
from planner.dispatcher_capacity import DispatcherLimit
from planner.group_trial import try_sharings, try_stage
from planner.links import MeasuredLinks
from planner.model import PlannerModel
from planner.report import Alternative, BoardShare, PlanReport, Proof, SharingReport, StageReport
from planner.shared_plan import busy_boards, group_costs, moving_s, plan_of, time_sharing
from planner.strip_times import StripModel, measure_strips
from planner.wishes import PlanWishes

# The runtime packs weights into a second copy.
_PACKED = 2


def may_share(wishes: PlanWishes, report: PlanReport) -> bool:
    """Whether a group is looked for: where one answer shall come soonest, nothing else is wished, and a board can do it alone."""
    wants = wishes.objective == Objective.LATENCY.value and wishes.cuts is None and not wishes.pins
    alone = len(report.chains) == 1 and len(report.chains[0].stages) == 1
    return wants and wishes.n_chains is None and wishes.max_boards != 1 and alone and bool(report.left_out)


async def share_if_sooner(
    model: PlannerModel,
    plan: Plan,
    report: PlanReport,
    records: Mapping[str, BoardRecord],
    links: MeasuredLinks,
    limit: DispatcherLimit,
    wishes: PlanWishes,
    settings: ProfileSettings,
    on_profile: OnProfile,
) -> tuple[Plan, PlanReport]:
    """Measures strips, and gives the plan of a group if that is sooner; else the plan as it is, with what a group would take.

    Args: plan, report: of the one board that answers soonest; it leads the group.
    Raises: BoardError.
    """
    leader = plan.board_names[0]
    able = [name for name, record in records.items() if memory_bytes(record) >= _needed_bytes(model)]
    names = [leader, *(name for name in able if name != leader)]
    strips = StripModel(model.graph)
    times = await measure_strips(strips, {name: records[name] for name in names}, settings.rough, on_profile)
    if wishes.max_boards is not None:  # the quickest of the others
        quickest = sorted(range(1, len(names)), key=lambda b: float(times[b].whole_s.sum()))
        kept = [0, *sorted(quickest[: wishes.max_boards - 1])]
        names, times = [names[b] for b in kept], [times[b] for b in kept]
    costs, between = group_costs({name: records[name] for name in names}, times, links)
    boards = [records[name].board for name in names]
    to_leader_s = moving_s(strips.graph, leader, costs[0].message, links)
    trials = await try_sharings(strips, boards, costs, between, to_leader_s, settings)
    best = trials.best
    if best is None:
        other = Alternative("operators shared by boards", None, None, "")
        return plan, replace(report, alternatives=(*report.alternatives, other))
    chosen = plan_of(model.name, names, best.shared)
    work = {leader: _Shared(best.shared, chosen.board_names, busy_boards(best.shared), best.latency_s - trials.alone_s)}
    shown = replace(_in_groups(report, chosen, work, records, limit), proof=Proof.SHARED)
    if not trials.is_gain:
        together = " + ".join(chosen.board_names)
        other = Alternative("operators shared by boards", shown.rate_per_s, shown.latency_s, together)
        return plan, replace(report, alternatives=(*report.alternatives, other))
    return chosen, shown


async def check_sharing(
    model: PlannerModel,
    plan: Plan,
    segments: Mapping[str, Sequence[SharedSegment]],
    alone: PlanReport,
    records: Mapping[str, BoardRecord],
    links: MeasuredLinks,
    limit: DispatcherLimit,
    settings: ProfileSettings,
    on_profile: OnProfile,
) -> PlanReport:
    """Measures strips, and says what a plan does in which boards share stages.

    Args: segments: of each such stage, by its leader. alone: of the plan in which leaders do their stages alone.
    Raises: BoardError.
    """
    groups = {stage.board: stage.boards for chain in plan.chains for stage in chain.stages if stage.shared_with}
    sharing = [name for names in groups.values() for name in names]
    strips = StripModel(model.graph)
    measured = await measure_strips(strips, {name: records[name] for name in sharing}, settings.rough, on_profile)
    times = dict(zip(sharing, measured))
    work = {}
    for leader, names in groups.items():
        of_group = {name: records[name] for name in names}
        shared = time_sharing(strips, segments[leader], of_group, [times[name] for name in names], links)
        longer_s = await _longer_s(strips, segments[leader], [records[name].board for name in names], shared, settings)
        work[leader] = _Shared(shared, names, range(len(names)), longer_s)
    shown = _in_groups(alone, plan, work, records, limit)
    short = [name for name in sharing if memory_bytes(records[name]) < _needed_bytes(model)]
    if not short:
        return shown
    note = f"{', '.join(short)} may be short of memory: boards that share rows each have all weights."
    return replace(shown, notes=(*shown.notes, note))


def shared_stage(
    alone: StageReport, names: Sequence[str], places: Sequence[int], shared: SharedPlan, stage_s: float
) -> StageReport:
    """A stage as a group does it.

    Args: alone: as its leader would. names, places: of the boards that have work, and among those that were timed.
    """
    sharing = SharingReport(
        boards=tuple(BoardShare(name, float(shared.time.compute_s[b])) for name, b in zip(names, places)),
        segments=tuple(
            (s.start_op, s.stop_op, "" if s.axis is None else s.axis.value, tuple(s.shares[b] for b in places))
            for s in shared.segments
        ),
        exchanged_bytes=shared.time.sent_bytes,
    )
    own_s = sharing.boards[0].compute_s
    return replace(alone, compute_s=own_s, estimate_s=own_s, is_measured_whole=False, stage_s=stage_s, sharing=sharing)


async def _longer_s(
    strips: StripModel,
    segments: Sequence[SharedSegment],
    boards: Sequence[Board],
    foreseen: SharedPlan,
    settings: ProfileSettings,
) -> float:
    """What a group takes for its segments, less what its leader takes for them alone, both tried in service."""
    ops = segments[0].start_op, segments[-1].stop_op
    ways = (segments, boards), ((), boards[:1])
    group_s, leader_s = [
        await try_stage(strips.graph, ops, way, by, foreseen.time.latency_s, settings) for way, by in ways
    ]
    return group_s - leader_s


def _needed_bytes(model: PlannerModel) -> int:
    """Boards that share rows each have all weights."""
    return _PACKED * len(model.segment((0, len(model.graph.operators))).data)


@dataclass(frozen=True)
class _Shared:
    """What a group does for a stage. Attributes: names, places: see `shared_stage`. longer_s: than its leader alone, as tried."""

    plan: SharedPlan
    names: Sequence[str]
    places: Sequence[int]
    longer_s: float


def _in_groups(
    alone: PlanReport,
    plan: Plan,
    work: Mapping[str, _Shared],
    records: Mapping[str, BoardRecord],
    limit: DispatcherLimit,
) -> PlanReport:
    """The report of a plan with groups. Args: alone: of their leaders alone. work: of the groups, by leader."""

    def shared(stage: StageReport) -> StageReport:
        group = work.get(stage.board)
        if group is None:
            return stage
        stage_s = max(0.0, stage.stage_s + group.longer_s)  # frames to the leader and on cost it the same
        return shared_stage(stage, group.names, group.places, group.plan, stage_s)

    chains = tuple(chain.with_stages([shared(stage) for stage in chain.stages]) for chain in alone.chains)
    leaders = " | ".join(" > ".join(chain.boards) for chain in alone.chains)
    by_leaders = Alternative(f"{leaders} alone", alone.rate_per_s, alone.latency_s, leaders)
    return replace(
        alone,
        chains=chains,
        rate_per_s=limit.of(sum(1 / chain.bottleneck_s for chain in chains)),
        latency_s=min(chain.latency_s for chain in chains),
        energy_j=None,
        lower_bound=None,
        certified_gap=None,
        left_out=tuple(name for name in records if name not in plan.board_names),
        alternatives=(by_leaders, *alone.alternatives),
    )

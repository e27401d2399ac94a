"""Whether boards that share operators answer sooner than the best chain, and the plan in which they do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from bundle.plan import Plan
from partitioning.planning import Objective
from partitioning.strips import SharedSegment
from partitioning.strips.search import SharedPlan
from planner.board_profiles import BoardRecord, OnProfile, ProfileSettings
from planner.costs import memory_bytes
from planner.links import MeasuredLinks
from planner.model import PlannerModel
from planner.report import Alternative, BoardShare, ChainReport, PlanReport, Proof, SharingReport, StageReport
from planner.shared_plan import busy_boards, choose_sharing, time_sharing
from planner.strip_times import StripModel, measure_strips
from planner.wishes import PlanWishes

# What a group gains less than this is not worth its boards, and no more than what measurements vary by.
LEAST_GAIN = 0.03
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
    choice = choose_sharing(model.name, strips, {name: records[name] for name in names}, times, links)
    shown = _as_shared(report, choice.plan, choice.shared, busy_boards(choice.shared), records)
    if len(choice.plan.board_names) == 1 or shown.latency_s > (1 - LEAST_GAIN) * report.latency_s:
        boards = " + ".join(choice.plan.board_names)
        other = Alternative("operators shared by boards", shown.rate_per_s, shown.latency_s, boards)
        if len(choice.plan.board_names) == 1:
            other = Alternative("operators shared by boards", None, None, "")
        return plan, replace(report, alternatives=(*report.alternatives, other))
    return choice.plan, shown


async def check_sharing(
    model: PlannerModel,
    plan: Plan,
    segments: Sequence[SharedSegment],
    report: PlanReport,
    records: Mapping[str, BoardRecord],
    links: MeasuredLinks,
    settings: ProfileSettings,
    on_profile: OnProfile,
) -> PlanReport:
    """Measures strips, and says what a plan does that is one stage, which boards share.

    Args: segments: the stage's. report: of the stage's leader alone.
    Raises: BoardError.
    """
    of_group = {name: records[name] for name in plan.board_names}
    strips = StripModel(model.graph)
    times = await measure_strips(strips, of_group, settings.rough, on_profile)
    shared = time_sharing(strips, segments, of_group, times, links)
    short = [name for name, record in of_group.items() if memory_bytes(record) < _needed_bytes(model)]
    notes = (
        [f"{', '.join(short)} may be short of memory: boards that share rows each have all weights."] if short else []
    )
    shown = _as_shared(report, plan, shared, range(len(of_group)), records)
    return replace(shown, proof=Proof.GIVEN, notes=(*shown.notes, *notes))


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


def _needed_bytes(model: PlannerModel) -> int:
    """Boards that share rows each have all weights."""
    return _PACKED * len(model.segment((0, len(model.graph.operators))).data)


def _as_shared(
    alone: PlanReport, plan: Plan, shared: SharedPlan, places: Sequence[int], records: Mapping[str, BoardRecord]
) -> PlanReport:
    """The report of a group. Args: alone: of its leader. places: of the plan's boards among those that were timed."""
    names, stage_s = plan.board_names, shared.time.latency_s
    (chain,) = alone.chains
    latency_s = (
        stage_s + chain.stages[0].link_s + chain.answer_link_s
    )  # and a frame's way to the leader, and its answer's
    leader = Alternative(f"{names[0]} alone", alone.rate_per_s, alone.latency_s, names[0])
    stage = shared_stage(chain.stages[0], names, places, shared, stage_s)
    return replace(
        alone,
        chains=(ChainReport.of_stages([stage], chain.answer_bytes, chain.answer_link_s, latency_s),),
        rate_per_s=1 / stage_s,
        latency_s=latency_s,
        energy_j=None,
        proof=Proof.SHARED,
        lower_bound=None,
        certified_gap=None,
        left_out=tuple(name for name in records if name not in names),
        alternatives=(leader, *alone.alternatives),
    )

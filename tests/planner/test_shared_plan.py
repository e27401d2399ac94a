"""A model shared by boards, planned from what they measured: its segments cover it, and its bits are the whole's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Sized
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bundle.plan import Plan, PlannedChain, PlannedSegment, PlannedStage
from bundle.plan_file import read_plan, render_plan
from converter.errors import OptionError
from converter.planned_split import PlannedSplit
from converter.verification import verify_bundle
from dispatcher_client import Dispatcher
from examples.local_boards import LocalBoards
from fleet.event_loop import run_in_loop
from fleet.inventory import Inventory
from partitioning.strips import SegmentError, SharedAxis, SharedSegment
from partitioning.strips.costs import BoardTimes
from partitioning.strips.search import SharedPlan, plan_shared
from planner import sharing
from planner.board_profiles import BoardRecord, ProfileSettings, describe_boards
from planner.boards_plan import FleetMeasurements, Listeners, PlanWishes, check_plan, measure_fleet, plan_on_boards
from planner.dispatcher_capacity import DispatcherLimit
from planner.errors import WishError
from planner.explain import print_plan
from planner.links import LinkSpeed, MeasuredLinks
from planner.model import PlannerModel
from planner.report import Proof
from planner.shared_plan import busy_boards, given_segments, group_costs, plan_of, time_sharing
from planner.sharing import may_share, share_if_sooner
from planner.strip_times import StripModel, measure_strips
from runtime import load_runtime
from tests.bundles import load_zoo_model, split_file, zoo_file
from tests.credentials import OPERATOR
from tests.dispatcher_client.whole_model import named, random_inputs, run_whole

SETTINGS = ProfileSettings(confidence=0.3, budget_s=0.05, credentials=OPERATOR)


def links(names: list[str], bytes_per_s: float) -> MeasuredLinks:
    speed = LinkSpeed(bytes_per_s, 1e-6, 1e-6, is_measured=False)
    return MeasuredLinks({(a, b): speed for a in names for b in names if a != b}, {})


def slower(times: BoardTimes, factor: float) -> BoardTimes:
    """As of a board that takes so many times as long."""
    shared = {key: replace(of_op, seconds=of_op.seconds * factor) for key, of_op in times.shared.items()}
    return BoardTimes(times.whole_s * factor, shared)


def in_proportion(times: BoardTimes) -> BoardTimes:
    """As of a board that takes a second for what is measured, and for a part its part of a second."""
    shared = {
        key: replace(of_op, seconds=of_op.counts / of_op.counts[-1]) if of_op.seconds[-1] else of_op
        for key, of_op in times.shared.items()
    }
    return BoardTimes(np.where(times.whole_s > 0, 1.0, 0.0), shared)


def search(
    model: StripModel, records: Mapping[str, BoardRecord], times: Sequence[BoardTimes], between: MeasuredLinks
) -> SharedPlan:
    """The best way by these figures."""
    costs, group_links = group_costs(records, times, between)
    return plan_shared(model.graph, costs, group_links, model.places[1:-1])


@pytest.fixture(scope="module")
def model() -> StripModel:
    return StripModel(load_zoo_model("residual", "int8").graph)


@pytest.fixture(scope="module")
def times(model: StripModel, boards: LocalBoards) -> list[BoardTimes]:
    alike = [replace(board, group="alike") for board in boards.named]

    async def measure() -> list[BoardTimes]:
        return await measure_strips(model, await describe_boards(alike, SETTINGS), SETTINGS)

    return run_in_loop(measure())


def test_times_of_parts_rise_to_the_whole(model: StripModel, times: list[BoardTimes]) -> None:
    assert len(times) == 3
    first = times[0]
    assert (first.whole_s > 0).sum() == len(model.places) - 1
    assert {axis for axis, _ in first.shared} == set(SharedAxis)
    for (_, op), of_op in first.shared.items():
        assert np.all(np.diff(of_op.seconds) >= 0)
        assert of_op.seconds[-1] in (0.0, first.whole_s[op])


def test_plan_is_split_and_runs_with_the_whole_models_bits(
    tmp_path: Path, model: StripModel, times: list[BoardTimes], boards: LocalBoards
) -> None:
    records = run_in_loop(describe_boards(boards.named, SETTINGS))
    # Boards a thousand times slower on wires without end share even this model.
    slow = [slower(t, 1e3) for t in times]
    found = search(model, records, slow, links(list(records), 1e12))
    plan = plan_of("residual-int8", list(records), found)
    assert found.time.latency_s < slow[0].whole_s.sum()
    split = PlannedSplit.from_plan(plan, len(model.graph.operators))
    (tmp_path / "plan.yaml").write_text(split.plan_text)
    assert read_plan(tmp_path / "plan.yaml") == plan
    file = zoo_file("residual", "int8")
    bundle = split_file(tmp_path / "parts", file, cut_lists=split.cut_lists, groups=split.groups)
    assert verify_bundle(bundle, load_runtime()).is_identical
    with Dispatcher(bundle, boards.named, plan=plan, credentials=boards.credentials) as chain:
        x = random_inputs(bundle, 0)
        assert named(chain, chain.infer(x)) == run_whole(bundle, x)


def test_nothing_is_shared_over_slow_links(model: StripModel, times: list[BoardTimes], boards: LocalBoards) -> None:
    records = run_in_loop(describe_boards(boards.named, SETTINGS))
    found = search(model, records, times, links(list(records), 1e3))
    assert busy_boards(found) == [0]
    assert found.time.latency_s == pytest.approx(found.time.compute_s[0])


@pytest.mark.parametrize(
    ("segments", "words"),
    [
        ("", "does not say how"),
        ("{until: 5, shares: [1, 0]}", r"end at 5; expected rising numbers from 0 to \d+"),
        (
            "{until: 5, by: rows, shares: [1, 1]}, {until: 5, by: rows, shares: [1, 1]}, {shares: [1, 0]}",
            "end at 5, 5, ",
        ),
    ],
)
def test_segments_that_leave_operators_out_are_refused(
    tmp_path: Path, model: StripModel, segments: str, words: str
) -> None:
    given = f"        segments: [{segments}]\n" if segments else ""
    text = (
        "model: residual-int8\nobjective: latency\nchains:\n  - stages:\n      - board: a\n        shared_with: [b]\n"
        + given
    )
    (tmp_path / "plan.yaml").write_text(text)
    with pytest.raises(WishError, match=words):
        PlannedSplit.from_plan(read_plan(tmp_path / "plan.yaml"), len(model.graph.operators))


@pytest.mark.parametrize("slowness", [1e-3, 1e3])
def test_report_says_that_sharing_gains_nothing_as_foreseen_or_as_tried(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    times: list[BoardTimes],
    boards: LocalBoards,
    slowness: float,
) -> None:
    model = PlannerModel.from_graph("residual-int8", load_zoo_model("residual", "int8").graph)
    inventory = Inventory(tuple(boards.named))
    measured = run_in_loop(measure_fleet(model, inventory, SETTINGS, Listeners()))
    wishes = PlanWishes("latency", max_boards=1)
    found = run_in_loop(plan_on_boards(model, inventory, wishes, SETTINGS, Listeners(), measured))
    assert may_share(PlanWishes("latency"), found.report)
    assert not may_share(wishes, found.report)

    async def measure(*_: object) -> list[BoardTimes]:
        return [slower(t, slowness) for t in times]

    monkeypatch.setattr(sharing, "measure_strips", measure)
    fast = links([*measured.records, "dispatcher"], 1e12)
    plan, report = run_in_loop(
        share_if_sooner(
            model,
            found.plan,
            found.report,
            measured.records,
            fast,
            DispatcherLimit(np.inf, "nothing"),
            PlanWishes("latency", max_boards=2),
            SETTINGS,
            nobody,
        )
    )
    print_plan(report, explain=True)
    said = capsys.readouterr().out
    assert (plan, report.chains) == (found.plan, found.report.chains)
    if slowness < 1:
        assert "with operators shared by boards: no plan fits" in said
    else:  # a millisecond's work is not worth its messages, whatever was foreseen
        other = report.alternatives[-1]
        assert other.what == "operators shared by boards"
        assert other.boards.count(" + ") == 1
        assert other.latency_s is not None
        assert other.latency_s > 0.9 * report.latency_s
        assert other.boards in said


def group_of(*segments: PlannedSegment, until: int | None = None) -> Plan:
    stages = [PlannedStage("board1", until, ("board2",), segments)]
    if until is not None:
        stages.append(PlannedStage("board3"))
    return Plan("residual-int8", "latency", (PlannedChain(tuple(stages)),))


# A model, boards, what was measured of both, and how long parts of operators are said to take.
SlowBoards = tuple[PlannerModel, Inventory, FleetMeasurements, list[BoardTimes]]


@pytest.fixture
def slow_boards(
    monkeypatch: pytest.MonkeyPatch, times: list[BoardTimes], model: StripModel, boards: LocalBoards
) -> SlowBoards:
    """Boards that say that half of an operator takes half as long, whatever is measured."""
    whole = PlannerModel.from_graph("residual-int8", model.graph)
    inventory = Inventory(tuple(boards.named))
    measured = run_in_loop(measure_fleet(whole, inventory, SETTINGS, Listeners()))
    slow = [in_proportion(t) for t in times]

    async def measure(_model: StripModel, records: Sized, *_: object) -> list[BoardTimes]:
        return slow[: len(records)]

    monkeypatch.setattr(sharing, "measure_strips", measure)
    return whole, inventory, measured, slow


def test_plan_with_a_group_is_checked_as_the_planner_counts_it(
    capsys: pytest.CaptureFixture[str], model: StripModel, slow_boards: SlowBoards
) -> None:
    whole, inventory, measured, slow = slow_boards
    chosen = search(model, measured.records, slow, measured.links)
    plan = plan_of("residual-int8", list(measured.records), chosen)
    assert len(plan.board_names) > 1
    found = run_in_loop(check_plan(whole, plan, inventory, SETTINGS, Listeners(), measured))
    report = found.report
    assert found.plan == plan
    assert report.proof is Proof.GIVEN
    (chain,) = report.chains
    shared = chain.stages[0].sharing
    assert shared is not None
    assert tuple(share.board for share in shared.boards) == plan.board_names
    assert [share.compute_s for share in shared.boards] == list(chosen.time.compute_s[busy_boards(chosen)])
    assert report.rate_per_s <= 1 / chain.stages[0].stage_s
    assert report.latency_s > chain.stages[0].stage_s > 0
    # The same bits of work for one board alone were tried beside it.
    print_plan(report)
    assert f"times as soon as {plan.board_names[0]} alone" in capsys.readouterr().out


def test_group_in_a_chain_is_checked(
    capsys: pytest.CaptureFixture[str], model: StripModel, slow_boards: SlowBoards
) -> None:
    whole, inventory, measured, slow = slow_boards
    cut = whole.positions[len(whole.positions) // 2]
    plan = group_of(PlannedSegment("rows", (1, 1)), until=cut)
    report = run_in_loop(check_plan(whole, plan, inventory, SETTINGS, Listeners(), measured)).report
    assert report.proof is Proof.GIVEN
    (chain,) = report.chains
    group, last = chain.stages
    assert last.sharing is None
    assert group.sharing is not None
    assert [share.board for share in group.sharing.boards] == ["board1", "board2"]
    assert group.stop_op == last.start_op == cut
    segments = [SharedSegment(0, cut, SharedAxis.ROWS, (1, 1))]
    names = {name: measured.records[name] for name in ("board1", "board2")}
    shared = time_sharing(model, segments, names, slow[:2], measured.links)
    assert [share.compute_s for share in group.sharing.boards] == list(shared.time.compute_s)
    assert group.stage_s > 0
    assert report.latency_s >= group.stage_s + last.stage_s
    assert report.rate_per_s == pytest.approx(1 / max(group.stage_s, last.stage_s, group.link_s, last.link_s), rel=1e-3)
    print_plan(report)
    assert "board1 > board3 alone" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("plan", "error", "words"),
    [
        (group_of(), WishError, "does not say how"),
        (
            group_of(PlannedSegment("", (1, 0), 12), until=9),
            WishError,
            "end at 12; expected rising numbers from 0 to 9",
        ),
        (group_of(PlannedSegment("rows", (1, 1), 5)), WishError, "end at 5; expected rising numbers"),
        (group_of(PlannedSegment("rows", (1, 1))), SegmentError, "ends a segment: its result .* has no rows"),
        (group_of(PlannedSegment("rows", (1, 1), 1), PlannedSegment("", (0, 0))), SegmentError, "not all of them 0"),
    ],
)
def test_group_that_cannot_be_is_refused_before_anything_is_measured(
    model: StripModel, boards: LocalBoards, plan: Plan, error: type[Exception], words: str
) -> None:
    steps: list[str] = []
    whole = PlannerModel.from_graph("residual-int8", model.graph)
    with pytest.raises(error, match=words):
        run_in_loop(check_plan(whole, plan, Inventory(tuple(boards.named)), SETTINGS, Listeners(on_step=steps.append)))
    assert steps == []


def test_segments_begin_where_the_model_can_be_cut(model: StripModel) -> None:
    """What lies between two cuts is measured as one."""
    uncut = StripModel(model.graph)
    uncut.places = [place for place in model.places if place != 3]
    whole = 0, len(model.graph.operators)
    (stage,) = group_of(PlannedSegment("rows", (1, 1), 3), PlannedSegment("", (1, 0))).chains[0].stages
    with pytest.raises(WishError, match="segments of board board1 begin at 3, where the model cannot be cut"):
        given_segments(uncut, stage, whole)
    assert [segment.start_op for segment in given_segments(model, stage, whole)] == [0, 3]


def nobody(_board: str, _done: int, _total: int) -> None:
    pass


def test_small_shares_are_numbers_in_the_plan_file(tmp_path: Path) -> None:
    segments = (PlannedSegment("rows", (1.0, 0.00005)),)
    plan = Plan("m", "latency", (PlannedChain((PlannedStage("a", None, ("b",), segments),)),))
    (tmp_path / "plan.yaml").write_text(render_plan(plan))
    assert read_plan(tmp_path / "plan.yaml") == plan


def test_chains_that_are_cut_alike_and_shared_differently_are_refused() -> None:
    chains = [
        PlannedChain((PlannedStage(one, None, (other,), (PlannedSegment("rows", shares),)),))
        for one, other, shares in (("a", "b", (1.0, 1.0)), ("c", "d", (2.0, 1.0)))
    ]
    with pytest.raises(OptionError, match="cut alike and shared differently"):
        PlannedSplit.from_plan(Plan("m", "latency", tuple(chains)), 9)

"""Plans for real boards: what a user wishes is kept, and what a plan made elsewhere would do is told."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest

from bundle.plan import Plan, PlannedChain, PlannedStage
from examples.local_boards import LocalBoards
from fleet.errors import BoardUnavailableError
from fleet.event_loop import run_in_loop
from fleet.inventory import DISPATCHER, Board, Inventory
from partitioning.planning import InfeasiblePlanError
from planner import boards_plan, revision
from planner.boards_plan import (
    BoardsPlan,
    FleetMeasurements,
    Listeners,
    PlanWishes,
    check_plan,
    measure_fleet,
    plan_on_boards,
)
from planner.errors import WishError
from planner.links import TransportCost
from planner.model import PlannerModel
from planner.report import Proof
from tests.planner.on_boards import BRIEF, MIB, SETTINGS, known_for, limited, plan, trials_on
from transport.address import Address

Stages = tuple[tuple[str, "int | str | None"], ...]


def made_by_hand(*chains: Stages) -> Plan:
    return Plan("dense", "throughput", tuple(PlannedChain(tuple(PlannedStage(*s) for s in c)) for c in chains))


def check(model: PlannerModel, given: Plan, inventory: Inventory, measured: FleetMeasurements) -> BoardsPlan:
    known = known_for(inventory, measured)
    return run_in_loop(check_plan(model, given, inventory, SETTINGS, Listeners(), known))


@pytest.fixture
def inventory(boards: LocalBoards) -> Inventory:
    return Inventory(tuple(boards.named))


def test_plan_says_what_its_figures_say(
    dense: PlannerModel, inventory: Inventory, measured: FleetMeasurements, boards: LocalBoards
) -> None:
    found = plan(dense, inventory, measured)
    report = found.report
    assert found.plan.model == report.model == "dense"
    assert [c.boards for c in report.chains] == [[s.board for s in c.stages] for c in found.plan.chains]
    assert [tuple(s.until for s in c.stages if s.until is not None) for c in report.chains] == [
        c.cuts for c in found.plan.chains
    ]
    # This machine may be slower than its boards together.
    assert report.rate_per_s <= sum(1 / c.bottleneck_s for c in report.chains) * 1.000001
    assert report.latency_s == pytest.approx(min(c.latency_s for c in report.chains))
    assert report.proof in (Proof.PROVEN, Proof.MEASURED)
    assert set(report.left_out) == {b.name for b in boards.named} - set(found.plan.board_names)
    assert report.rounds >= 1
    for chain in report.chains:
        assert all(stage.is_measured_whole for stage in chain.stages)
    assert all(trials_on(board) == [] for board in boards.named)


def test_plan_measures_first_what_is_not_known_and_tells_its_steps(dense: PlannerModel, boards: LocalBoards) -> None:
    steps: list[str] = []
    links: list[tuple[int, int]] = []
    listeners = Listeners(on_link=lambda *done: links.append(done), on_step=steps.append)
    quick = replace(SETTINGS, budget_s=0.05)
    one = Inventory(tuple(boards.named[:1]))
    found = run_in_loop(plan_on_boards(dense, one, PlanWishes(), quick, listeners))
    assert steps == [
        "asking the boards",
        "profiling",
        "measuring links",
        "planning, and measuring the chosen stages whole",
    ]
    assert links[-1] == (2, 2)
    assert found.plan.chains == (PlannedChain((PlannedStage("board1"),)),)
    assert found.report.alternatives == ()


def test_pins_are_kept(dense: PlannerModel, inventory: Inventory, measured: FleetMeasurements) -> None:
    found = plan(dense, inventory, measured, PlanWishes(pins={0: "board3", 1: "board1"}))
    (chain,) = found.plan.chains
    assert [stage.board for stage in chain.stages][:2] == ["board3", "board1"]


def test_fixed_cuts_are_kept_even_where_no_useful_cut_is(
    dense: PlannerModel, inventory: Inventory, measured: FleetMeasurements
) -> None:
    coarse = PlannerModel(dense.name, dense.graph, (0, 1, 2, 3, 4, 5))
    found = plan(coarse, inventory, measured, PlanWishes(cuts=[2, 3]))
    assert [chain.cuts for chain in found.plan.chains] == [(2, 3)]
    coarse = PlannerModel(dense.name, dense.graph, (0, 2, 4, 5))
    known = known_for(inventory, measured)
    for record in known.records.values():
        for start, stop in ((0, 2), (2, 4)):
            record.profiles[start, stop] = record.profiles[start + 1, stop]
    wishes = PlanWishes(cuts=[3], n_chains=1)
    found = run_in_loop(plan_on_boards(coarse, inventory, wishes, SETTINGS, Listeners(), known))
    assert [chain.cuts for chain in found.plan.chains] == [(3,)]


def test_whole_model_on_one_board_is_what_no_cuts_mean(
    dense: PlannerModel, inventory: Inventory, measured: FleetMeasurements
) -> None:
    found = plan(dense, inventory, measured, PlanWishes(cuts=[]))
    assert all(chain.cuts == () for chain in found.plan.chains)


def test_number_of_boards_is_kept(dense: PlannerModel, inventory: Inventory, measured: FleetMeasurements) -> None:
    found = plan(dense, inventory, measured, PlanWishes(max_boards=1))
    assert len(found.plan.board_names) == 1
    assert len(found.report.left_out) == 2


def test_number_of_chains_is_kept_and_another_is_compared(
    dense: PlannerModel, inventory: Inventory, measured: FleetMeasurements
) -> None:
    found = plan(dense, inventory, measured, PlanWishes(n_chains=2))
    assert len(found.plan.chains) == 2
    others = [other for other in found.report.alternatives if "chain" in other.what]
    assert others[0].what in ("1 chain", "3 chains")
    assert others[0].boards.count("|") == int(others[0].what[0]) - 1


def test_latency_takes_one_chain_whose_sum_is_least(
    dense: PlannerModel, inventory: Inventory, measured: FleetMeasurements
) -> None:
    found = plan(dense, inventory, measured, PlanWishes("latency"))
    assert len(found.plan.chains) == 1
    assert found.plan.objective == found.report.objective == "latency"
    assert found.report.latency_s == pytest.approx(found.report.chains[0].latency_s)


def test_energy_without_sensors_is_refused_naming_the_boards(
    dense: PlannerModel, inventory: Inventory, measured: FleetMeasurements
) -> None:
    with pytest.raises(WishError, match="board1, board2, board3 have no energy sensor"):
        plan(dense, inventory, measured, PlanWishes("energy"))


def test_boards_of_a_group_are_planned_as_alike(
    dense: PlannerModel, boards: LocalBoards, measured: FleetMeasurements
) -> None:
    group = Inventory(tuple(replace(board, group="pi4") for board in boards.named))
    found = plan(dense, group, measured, PlanWishes(n_chains=3))
    assert len(found.plan.chains) == 3


def test_board_that_does_not_answer_is_named_before_anything_is_measured(
    dense: PlannerModel, boards: LocalBoards
) -> None:
    heard: list[str] = []
    listeners = Listeners(on_profile=lambda board, done, total: heard.append(board))
    inventory = Inventory((*boards.named, Board("pi9", Address("127.0.0.1", 1))))
    begin_s = time.monotonic()
    with pytest.raises(BoardUnavailableError, match="board pi9"):
        run_in_loop(measure_fleet(dense, inventory, SETTINGS, listeners, BRIEF))
    assert heard == []
    assert time.monotonic() - begin_s < 10


def test_board_named_twice_is_refused_before_anything_is_asked(dense: PlannerModel) -> None:
    nobody = Board("pi9", Address("127.0.0.1", 1))
    twice = Inventory((nobody, nobody))
    with pytest.raises(WishError, match="pi9 is named twice"):
        run_in_loop(measure_fleet(dense, twice, SETTINGS, Listeners()))
    with pytest.raises(WishError, match="pi9 is named twice"):
        run_in_loop(plan_on_boards(dense, twice, PlanWishes(), SETTINGS, Listeners()))
    given = made_by_hand((("pi9", None),))
    with pytest.raises(WishError, match="pi9 is named twice"):
        run_in_loop(check_plan(dense, given, twice, SETTINGS, Listeners()))


def test_plan_made_by_hand_is_measured_as_it_is(
    dense: PlannerModel, inventory: Inventory, measured: FleetMeasurements, boards: LocalBoards
) -> None:
    given = made_by_hand((("board2", 3), ("board1", None)), (("board3", None),))
    report = check(dense, given, inventory, measured).report
    assert [c.boards for c in report.chains] == [["board2", "board1"], ["board3"]]
    assert [(s.start_op, s.stop_op) for s in report.chains[0].stages] == [(0, 3), (3, 5)]
    assert all(s.is_measured_whole for c in report.chains for s in c.stages)
    assert report.proof is Proof.GIVEN
    assert report.left_out == ()
    # This machine may be slower than its boards together.
    assert report.rate_per_s <= sum(1 / c.bottleneck_s for c in report.chains) * 1.000001
    assert all(trials_on(board) == [] for board in boards.named)


def test_plan_that_is_checked_counts_the_service_as_the_planner_does(
    dense: PlannerModel, inventory: Inventory, measured: FleetMeasurements
) -> None:
    """A board's stage is tried in service for both, or a plan would differ from its own check."""
    known = known_for(inventory, measured)
    given = made_by_hand((("board1", 2), ("board3", None)))
    run_in_loop(check_plan(dense, given, inventory, SETTINGS, Listeners(), known))
    assert (0, 2) in known.records["board1"].in_service
    assert (2, 5) in known.records["board3"].in_service


def test_plan_that_does_not_fit_is_refused_naming_the_stage_and_is_not_tried(
    dense: PlannerModel, boards: LocalBoards, measured: FleetMeasurements
) -> None:
    tight = limited(boards.named, 10 * MIB)
    known = known_for(tight, measured)
    given = made_by_hand((("board1", 1), ("board2", None)))
    with pytest.raises(
        InfeasiblePlanError, match=r"stage 1 on board2 needs 1\d\.\d MiB of 10\.0\. Move a cut"
    ) as caught:
        run_in_loop(check_plan(dense, given, tight, SETTINGS, Listeners(), known))
    assert "board1" not in str(caught.value)
    assert known.records["board2"].in_service == {}


def test_plan_for_boards_that_are_not_there_is_refused(
    dense: PlannerModel, inventory: Inventory, measured: FleetMeasurements
) -> None:
    given = made_by_hand((("pi8", 2), ("board1", 3), ("pi9", None)))
    with pytest.raises(WishError, match=r"the plan uses pi8, pi9, .* They are: board1, board2, board3"):
        check(dense, given, inventory, measured)


def test_plan_with_names_for_cuts_is_refused(
    dense: PlannerModel, inventory: Inventory, measured: FleetMeasurements
) -> None:
    with pytest.raises(WishError, match="cuts y1 are names"):
        check(dense, made_by_hand((("board1", "y1"), ("board2", None))), inventory, measured)


@pytest.mark.parametrize(
    ("rounds", "says"),
    [
        (1, "after 1 rounds every measurement has led to another plan"),
        (2, "after 2 rounds two measurements of a stage"),
    ],
)
def test_plan_whose_prediction_does_not_hold_says_why(
    dense: PlannerModel,
    inventory: Inventory,
    measured: FleetMeasurements,
    monkeypatch: pytest.MonkeyPatch,
    rounds: int,
    says: str,
) -> None:
    """One board and one cut, so that the plan cannot change; nothing is as good as the agreement that is asked for."""
    monkeypatch.setattr(revision, "_MAX_ROUNDS", rounds)
    monkeypatch.setattr(revision, "AGREEMENT", -1.0)
    monkeypatch.setattr(boards_plan, "AGREEMENT", 0.0)
    one = Inventory(inventory.boards[:1])
    found = plan(dense, one, known_for(one, measured), PlanWishes(cuts=[]))
    assert any(says in note and "best of the stages that were measured" in note for note in found.report.notes)


def test_dispatcher_that_is_slower_than_the_boards_is_noted(
    dense: PlannerModel, inventory: Inventory, measured: FleetMeasurements
) -> None:
    transport = {**measured.links.transport, DISPATCHER: TransportCost(2.0, 0.0, 0.0)}
    slow = replace(measured, links=replace(measured.links, transport=transport))
    report = check(dense, made_by_hand((("board1", None),)), inventory, slow).report
    assert report.rate_per_s <= 0.5
    assert any("no more than 0.50: its processor is the limit" in note for note in report.notes)

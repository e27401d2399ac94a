"""Groups in a chain: the wished ones, or the best plan of any kind, and what plans of other kinds would do."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bundle.plan import Plan, PlannedChain, PlannedStage
from converter.planned_split import PlannedSplit
from converter.verification import verify_bundle
from dispatcher_client import Dispatcher
from examples.local_boards import LocalBoards
from fleet.event_loop import run_in_loop
from fleet.inventory import Inventory
from partitioning.planning import InfeasiblePlanError, Objective, Wishes, build_problem, plan_chains
from partitioning.strips.costs import BoardTimes
from planner import group_chains
from planner.board_profiles import BoardRecord, ProfileSettings
from planner.boards_plan import Listeners, measure_fleet, plan_on_boards
from planner.dispatcher_capacity import DispatcherLimit
from planner.explain import print_plan
from planner.group_chains import find_groups, plan_in_groups
from planner.model import PlannerModel
from planner.report import PlanReport, Proof, describe_chains
from planner.strip_times import StripModel
from planner.wishes import GroupWish, PlanWishes
from runtime import load_runtime
from tests.bundles import split_file, zoo_file
from tests.dispatcher_client.whole_model import named, random_inputs, run_whole
from tests.planner.made_up_groups import Fleet, strip_times, zoo_model
from tests.planner.on_boards import BRIEF, SETTINGS

FOUR_ALIKE = dict.fromkeys("abcd", 0.1)
NO_LIMIT = DispatcherLimit(np.inf, "nothing")
BOTH = (Objective.THROUGHPUT, Objective.LATENCY)


@pytest.fixture(scope="module")
def model() -> PlannerModel:
    return zoo_model()


@pytest.fixture
def measures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Boards that take for the parts of operators what their names and pieces say."""

    async def measure(strips: StripModel, records: Mapping[str, BoardRecord], *_: object) -> list[BoardTimes]:
        model = zoo_model()
        return [strip_times(model, r.profiles[model.pieces[0]].run_s) for r in records.values()]

    monkeypatch.setattr(group_chains, "measure_strips", measure)


def single_boards(fleet: Fleet, objective: str, max_boards: int | None = None) -> tuple[Plan, PlanReport]:
    """The best plan without groups."""
    model, costs = fleet.model, fleet.costs
    problem = build_problem(costs.model, costs.boards, costs.links)
    planned = plan_chains(problem, Wishes(Objective(objective), max_boards))
    chains = []
    for chain in planned.chains:
        untils = [*(model.positions[p] for p in chain.positions[1:-1]), None]
        chains.append(PlannedChain(tuple(PlannedStage(costs.names[b], u) for b, u in zip(chain.boards, untils))))
    report = PlanReport(
        model=model.name,
        objective=objective,
        chains=describe_chains(model, costs, problem, planned.chains),
        rate_per_s=planned.rate_per_s,
        latency_s=min(cost.latency_s for cost in planned.costs),
        energy_j=None,
        proof=Proof.PROVEN,
        lower_bound=None,
        certified_gap=None,
        left_out=(),
    )
    return Plan(model.name, objective, tuple(chains)), report


def grouped(fleet: Fleet, wishes: PlanWishes, limit: DispatcherLimit = NO_LIMIT) -> tuple[Plan, PlanReport]:
    plan, report = single_boards(fleet, wishes.objective, wishes.max_boards)
    report = replace(report, rate_per_s=limit.of(report.rate_per_s))
    return run_in_loop(
        plan_in_groups(
            fleet.model, plan, report, fleet.costs, fleet.records, limit, wishes, ProfileSettings(), lambda *_: None
        )
    )


def alternatives(report: PlanReport) -> dict[str, float | None]:
    return {other.what: other.latency_s for other in report.alternatives}


@pytest.mark.parametrize("objective", BOTH)
def test_chain_of_groups_is_the_best_of_all_cuts_and_its_figures_are_its_stages(
    model: PlannerModel, objective: Objective
) -> None:
    groups = Fleet(model, FOUR_ALIKE, 1e4).groups
    found = find_groups(model, groups, objective, GroupWish(2, 2))["groups of boards in a chain"]
    assert found is not None
    first, second = found.report.stages
    # Two groups of two answer no sooner than one of them: for latency, the second has next to nothing to do.
    names = [("a", "b"), ("c", "d") if objective is Objective.THROUGHPUT else ("c",)]
    assert [stage.boards for stage in found.chain.stages] == names
    assert [stage.label for stage in found.report.stages] == [" + ".join(of_stage) for of_stage in names]
    assert found.chain.cuts == (first.stop_op,) == (second.start_op,)
    links = groups.leader_links
    cut = model.position_index(first.stop_op)
    passing_s = links.passing_s[-1, 0, 0] + links.passing_s[0, 2, cut]
    assert found.report.latency_s == pytest.approx(first.stage_s + second.stage_s + passing_s)
    steps = [first.stage_s, second.stage_s, links.link_s[-1, 0, 0], links.link_s[0, 2, cut]]
    assert found.report.bottleneck_s == pytest.approx(max(steps))
    by_cut = []
    for position in range(1, groups.problem.end):
        stages = groups.take_s((0, 2), 0)[position], groups.take_s((2, 4), position)[groups.problem.end]
        by_cut.append(max(stages) if objective is Objective.THROUGHPUT else sum(stages))
    assert found.value(objective, NO_LIMIT) <= 1.02 * min(by_cut) + passing_s


def test_groups_make_an_answer_come_sooner_than_any_chain_and_the_report_compares(
    measures: None, model: PlannerModel, capsys: pytest.CaptureFixture[str]
) -> None:
    fleet = Fleet(model, FOUR_ALIKE)
    plan, report = grouped(fleet, PlanWishes("latency", groups=GroupWish()))
    (stage,) = report.stages
    assert stage.label == "a + b + c + d"
    assert plan.board_names == ("a", "b", "c", "d")
    assert (report.proof, report.left_out) == (Proof.SHARED, ())
    assert {"one chain of single boards", "4 chains side by side", "groups of boards in a chain"} == set(
        alternatives(report)
    )
    assert all(latency_s is not None and latency_s > report.latency_s for latency_s in alternatives(report).values())
    print_plan(report, explain=True)
    said = capsys.readouterr().out
    assert "the best that was found of groups of boards in this order" in said
    for other in report.alternatives:
        assert f"with {other.what} at best " in said
        assert f"; {other.rate_per_s:.2f} frames/s" in said


def test_chains_side_by_side_stand_where_groups_gain_nothing(measures: None, model: PlannerModel) -> None:
    fleet = Fleet(model, FOUR_ALIKE)
    plan, report = grouped(fleet, PlanWishes(groups=GroupWish()))
    assert (plan, report.chains) == (
        single_boards(fleet, "throughput")[0],
        single_boards(fleet, "throughput")[1].chains,
    )
    assert len(plan.chains) == 4
    assert report.proof is Proof.PROVEN
    assert "one group of boards for the whole model" in alternatives(report)


@pytest.mark.parametrize("objective", ["throughput", "latency"])
@pytest.mark.parametrize(("n_stages", "size"), [(2, 2), (1, 3), (None, 2), (3, None), (1, 4)])
def test_wished_groups_are_planned_though_other_plans_may_be_better(
    measures: None, model: PlannerModel, objective: str, n_stages: int | None, size: int | None
) -> None:
    plan, report = grouped(Fleet(model, FOUR_ALIKE), PlanWishes(objective, groups=GroupWish(n_stages, size)))
    (chain,) = plan.chains
    assert n_stages in (None, len(chain.stages))
    most = size or 4
    assert max(chain.group_sizes) <= most
    if objective == "throughput" and size is not None:
        assert set(chain.group_sizes) == {size}
    compared = alternatives(report)
    assert {"one chain of single boards", "4 chains side by side"} <= set(compared)
    if len(chain.stages) > 1:
        assert "one group of boards for the whole model" in compared
    for one, other in itertools.pairwise(report.stages):
        assert one.stop_op == other.start_op


def test_most_boards_are_the_quickest(measures: None, model: PlannerModel) -> None:
    fleet = Fleet(model, {"a": 0.1, "b": 0.3, "c": 0.1})
    plan, report = grouped(fleet, PlanWishes("latency", 2, groups=GroupWish(1, 2)))
    assert plan.board_names == ("a", "c")
    assert report.left_out == ("b",)


def test_machine_that_sends_limits_what_groups_promise(measures: None, model: PlannerModel) -> None:
    limit = DispatcherLimit(0.1, "its processor")
    plan, _ = grouped(Fleet(model, FOUR_ALIKE), PlanWishes(groups=GroupWish()), limit)
    assert set(plan.chains[0].group_sizes) == {1}, "faster boards gain nothing"
    _, report = grouped(Fleet(model, FOUR_ALIKE), PlanWishes(groups=GroupWish(2, 2)), limit)
    assert report.rate_per_s == 0.1
    assert any("this machine no more than 0.10" in note for note in report.notes)
    shared = [other for other in report.alternatives if "group" in other.what]
    assert [other.rate_per_s for other in shared] == [0.1]


def test_groups_without_memory_for_their_stages_are_refused(measures: None, model: PlannerModel) -> None:
    small = Fleet(model, FOUR_ALIKE, b=1, c=1, d=1)
    with pytest.raises(InfeasiblePlanError, match="every board of a group needs the memory of its whole stage"):
        grouped(small, PlanWishes(groups=GroupWish(2, 2)))
    plan, report = grouped(small, PlanWishes(groups=GroupWish()))
    assert plan.board_names == ("a",)
    assert alternatives(report)["groups of boards in a chain"] is None


def test_groups_of_running_boards_are_planned_split_and_run_with_the_whole_models_bits(
    measures: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    model, file = zoo_model(), zoo_file("residual", "int8")
    with LocalBoards(4, tmp_path / "stores") as boards:
        inventory = Inventory(tuple(boards.named))
        measured = run_in_loop(measure_fleet(model, inventory, SETTINGS, Listeners(), BRIEF))

        async def slow(_: StripModel, records: Mapping[str, BoardRecord], *__: object) -> list[BoardTimes]:
            return [strip_times(model, 10.0) for _ in records]  # so that links of this machine are no matter

        monkeypatch.setattr(group_chains, "measure_strips", slow)
        wishes = PlanWishes(groups=GroupWish(2, 2))
        found = run_in_loop(plan_on_boards(model, inventory, wishes, SETTINGS, Listeners(), measured))
        assert found.plan.chains[0].group_sizes == (2, 2)
        assert found.plan.board_names == tuple(board.name for board in boards.named)

        split = PlannedSplit.from_plan(found.plan, len(model.graph.operators), found.report)
        bundle = split_file(tmp_path / "parts", file, cut_lists=split.cut_lists, groups=split.groups)
        assert verify_bundle(bundle, load_runtime()).is_identical
        with Dispatcher(bundle, boards.named, plan=found.plan, credentials=boards.credentials) as chain:
            x = random_inputs(bundle, 0)
            assert named(chain, chain.infer(x)) == run_whole(bundle, x)

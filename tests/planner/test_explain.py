"""A plan on the terminal, in JSON and as comments of its file: the same figures, and why nothing else is better."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from bundle.plan import Plan, PlannedChain, PlannedStage
from bundle.plan_file import read_plan, render_plan
from partitioning import Graph
from partitioning.planning import Objective, Wishes, build_problem, fix_cuts, plan_chains
from planner.costs import FleetCosts, assemble_costs
from planner.explain import comment_plan, print_plan
from planner.model import PlannerModel
from planner.report import Alternative, PlanReport, Proof, describe_chains
from tests.partitioning import sample_models
from tests.planner.made_up import MIB, links, record

# Seconds per operator, of which the model has four.
SPEEDS = {"pi1": 0.010, "pi2": 0.020, "pi3": 0.030}


@pytest.fixture(scope="module")
def model() -> PlannerModel:
    graph = Graph.from_bytes(sample_models.relu_chain(["a", "b", "c", "d", "e"], width=250).build())
    return PlannerModel("chain", graph, (0, 1, 2, 3, 4))


def costs_of(model: PlannerModel) -> FleetCosts:
    records = {
        name: record(name, model, s, memory_bytes=64 * MIB, whole={(0, 3): 2.5 * s}) for name, s in SPEEDS.items()
    }
    return assemble_costs(model, records, links(list(SPEEDS)))


def report_of(model: PlannerModel, wishes: Wishes) -> PlanReport:
    costs = costs_of(model)
    problem = build_problem(costs.model, costs.boards, costs.links)
    planned = plan_chains(problem, wishes)
    return PlanReport(
        model="chain",
        objective=wishes.objective.value,
        chains=describe_chains(model, costs, problem, planned.chains),
        rate_per_s=planned.rate_per_s,
        latency_s=min(cost.latency_s for cost in planned.costs),
        energy_j=None,
        proof=Proof.PROVEN,
        lower_bound=0.05,
        certified_gap=0.0,
        left_out=(),
        alternatives=(Alternative("at most 1 boards", 10.0, 0.040, "pi1"),),
        notes=("board pi3 is slow.",),
        rounds=3,
        estimate_error=0.07,
        repeat_error=0.01,
    )


@pytest.fixture
def report(model: PlannerModel) -> PlanReport:
    return report_of(model, Wishes(n_chains=1))


def shown(report: PlanReport, capsys: pytest.CaptureFixture[str], *, explain: bool = True) -> str:
    print_plan(report, explain=explain)
    return capsys.readouterr().out


def test_stage_that_was_measured_whole_shows_its_time_beside_the_sum_of_its_pieces(model: PlannerModel) -> None:
    (chain,) = report_of(model, Wishes(max_boards=1, n_chains=1, pins={0: 0})).chains
    (stage,) = chain.stages
    assert not stage.is_measured_whole
    assert stage.estimate_s == pytest.approx(4 * 0.010 * 2.5 / 3)
    costs = costs_of(model)
    problem = build_problem(costs.model, costs.boards, costs.links)
    cut = plan_chains(fix_cuts(problem, [3]), Wishes(n_chains=1))
    first, last = describe_chains(model, costs, problem, cut.chains)[0].stages
    assert (first.stop_op, last.start_op) == (3, 3)
    assert first.is_measured_whole
    assert first.compute_s == pytest.approx(2.5 * SPEEDS[first.board])
    assert last.is_measured_whole, "one piece is as whole as can be"


def test_table_has_a_row_for_every_stage_and_for_the_answer(
    report: PlanReport, capsys: pytest.CaptureFixture[str]
) -> None:
    out = shown(report, capsys, explain=False)
    for stage in report.chains[0].stages:
        (row,) = [line for line in out.splitlines() if f" {stage.board} " in line and "│" in line]
        assert f" {stage.start_op}-{stage.stop_op - 1} " in row
        assert f" {stage.stage_s * 1e3:.2f} " in row
        assert " 64 " in row
    assert "(answer)" in out
    assert "100%" in out
    assert f"at most {report.rate_per_s:.2f} frames/s" in out
    assert "proven the best for these measurements" in out
    assert f"it is limited by {report.chains[0].limited_by}" in out
    assert "note: board pi3 is slow." in out
    assert "with at most" not in out


def test_explanation_compares_and_tells_how_it_was_measured(
    report: PlanReport, capsys: pytest.CaptureFixture[str]
) -> None:
    out = shown(replace(report, left_out=("pi9",)), capsys)
    change = 10.0 / report.rate_per_s - 1
    assert f"with at most 1 boards at best 10.00 frames/s ({change:+.1%}): pi1" in out
    assert "left out: pi9; no plan with them" in out
    assert "planned 3 times" in out
    assert "7.0% off" in out
    assert "differed by 1.0%" in out


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"objective": "latency", "latency_s": 0.020}, "at best 40.0 ms (+100.0%): pi1"),
        ({"objective": "energy", "energy_j": 0.5}, "at best 0.75 J per frame (+50.0%): pi1"),
        ({"alternatives": (Alternative("2 chains", None, None, ""),)}, "with 2 chains: no plan fits"),
        (
            {"proof": Proof.BOUNDED, "certified_gap": 0.031},
            "within 3.1% of the best chain for these measurements: no chain can give more than 20.00",
        ),
        ({"proof": Proof.GIVEN}, "as given, not searched for"),
        ({"proof": Proof.MEASURED}, "the best of the stages that were measured"),
        ({"proof": Proof.OPEN}, "too many unlike boards to prove more"),
        ({"energy_j": 1.25}, ", 1.25 J per frame; "),
    ],
)
def test_figures_are_those_of_the_objective(
    report: PlanReport, capsys: pytest.CaptureFixture[str], changes: dict[str, object], says: str
) -> None:
    report = replace(report, alternatives=(Alternative("at most 1 boards", 10.0, 0.040, "pi1", 0.75),))
    assert says in shown(replace(report, **changes), capsys)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "among"),
    [
        ({"rate_per_s": 20.0}, ""),
        ({"rate_per_s": 5.0}, " of such groups"),
        ({"objective": "latency", "latency_s": 0.020}, ""),
        ({"objective": "latency", "latency_s": 0.050}, " of such groups"),
        ({"objective": "energy", "energy_j": 0.5}, ""),
        ({"objective": "energy", "energy_j": 1.0}, " of such groups"),
    ],
)
def test_boards_left_out_are_not_said_to_be_useless_where_another_plan_is_better(
    report: PlanReport, capsys: pytest.CaptureFixture[str], changes: dict[str, object], among: str
) -> None:
    others = (Alternative("one chain", 10.0, 0.040, "pi1", 0.75), Alternative("2 chains", None, None, ""))
    out = shown(replace(report, left_out=("pi9",), alternatives=others, **changes), capsys)  # type: ignore[arg-type]
    assert f"left out: pi9; no plan{among} with them that was found is better" in out


def test_plan_that_was_given_says_nothing_of_searching(report: PlanReport, capsys: pytest.CaptureFixture[str]) -> None:
    out = shown(replace(report, proof=Proof.GIVEN, rounds=0, alternatives=(), left_out=("pi3",)), capsys)
    assert "left out" not in out
    assert "planned" not in out


def test_each_of_several_chains_has_its_table_and_its_limit(
    report: PlanReport, capsys: pytest.CaptureFixture[str]
) -> None:
    out = shown(replace(report, chains=report.chains * 2), capsys)
    assert "chain, chain 1 of 2" in out
    assert "chain, chain 2 of 2" in out
    assert "chain 2 is limited by" in out


def test_board_without_a_limit_has_any_memory(report: PlanReport, capsys: pytest.CaptureFixture[str]) -> None:
    (chain,) = report.chains
    free = replace(chain, stages=tuple(replace(s, memory_limit_bytes=float("inf")) for s in chain.stages))
    assert " any " in shown(replace(report, chains=(free,)), capsys)


def test_latency_counts_every_stage_and_link_and_the_way(model: PlannerModel) -> None:
    report = report_of(model, Wishes(Objective.LATENCY))
    (chain,) = report.chains
    steps = sum(s.stage_s + s.link_s for s in chain.stages) + chain.answer_link_s
    assert chain.latency_s >= steps
    assert report.latency_s == chain.latency_s


def test_json_is_flat_values_that_any_parser_reads(report: PlanReport) -> None:
    text = json.dumps(report.as_json(), allow_nan=False)
    read = json.loads(text)
    assert read["chains"][0]["stages"][0]["board"] == report.chains[0].stages[0].board
    assert read["alternatives"][0]["what"] == "at most 1 boards"
    assert read["rate_per_s"] == report.rate_per_s


def test_comments_go_with_the_plan_and_read_back_as_the_plan_alone(report: PlanReport, tmp_path: Path) -> None:
    stages = tuple(PlannedStage(s.board, s.until) for s in report.chains[0].stages)
    plan = Plan("chain", "throughput", (PlannedChain(stages),))
    header, comments = comment_plan(report, plan)
    text = render_plan(plan, header, comments)
    assert text.startswith("# made for throughput: at most")
    for stage in report.chains[0].stages:
        assert f"- board: {stage.board}  # {stage.stage_s * 1e3:.2f} ms, {stage.memory_bytes / MIB:.0f} MiB" in text
    (tmp_path / "plan.yaml").write_text(text)
    assert read_plan(tmp_path / "plan.yaml") == plan

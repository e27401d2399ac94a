"""The picture of a plan: the timeline follows the pipeline's rule, and the files are pictures that say what is planned."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest
from matplotlib.figure import Figure

from partitioning import Graph
from partitioning.planning import Wishes, build_problem, plan_chains
from planner.costs import assemble_costs
from planner.errors import PlotError
from planner.model import PlannerModel
from planner.plot import plot_plan, schedule
from planner.report import PlanReport, Proof, describe_chains
from tests import zoo
from tests.planner.made_up import links, record


@pytest.fixture(scope="module")
def model() -> PlannerModel:
    return PlannerModel.from_graph("inception", Graph.from_bytes(zoo.load("inception", "float32")))


@pytest.fixture(scope="module")
def report(model: PlannerModel) -> PlanReport:
    records = {name: record(name, model, s) for name, s in (("pi1", 0.001), ("pi2", 0.002), ("pi3", 0.003))}
    costs = assemble_costs(model, records, links(list(records)))
    problem = build_problem(costs.model, costs.boards, costs.links)
    planned = plan_chains(problem, Wishes(n_chains=1))
    chains = describe_chains(model, costs, problem, planned.chains)
    return PlanReport("inception", "throughput", chains, planned.rate_per_s, 0.01, None, Proof.PROVEN, 0.0, 0.0, ())


def test_frames_follow_one_another_at_the_slowest_steps_pace() -> None:
    begins = schedule([1.0, 3.0, 2.0], 4)
    assert begins[0] == [0.0, 1.0, 4.0]
    assert [row[2] for row in begins] == [4.0, 7.0, 10.0, 13.0]


def test_chain_report_names_the_slowest_step_and_adds_up(report: PlanReport) -> None:
    chain = report.chains[0]
    steps = [s.stage_s for s in chain.stages] + [s.link_s for s in chain.stages]
    assert chain.bottleneck_s == max(steps)
    # Each hop takes a round trip of 1 ms, in which it is not occupied; the answer comes last, from the first board.
    assert chain.latency_s == pytest.approx(sum(steps) + 1e-3 * len(chain.stages) + chain.answer_link_s)
    assert chain.limited_by.startswith(next(s.board for s in chain.stages if s.stage_s == chain.bottleneck_s))
    assert [s.until for s in chain.stages][-1] is None
    assert report.rate_per_s == pytest.approx(1 / chain.bottleneck_s)


def test_svg_names_every_board_and_cut(tmp_path: Path, model: PlannerModel, report: PlanReport) -> None:
    path = tmp_path / "plan.svg"
    plot_plan(report, model, path)
    ElementTree.parse(path)
    comments = path.read_text()  # text is drawn as outlines; matplotlib names each in a comment
    for stage in report.chains[0].stages:
        assert f"<!-- {stage.board}" in comments
        if stage.until is not None:
            assert f"cut {stage.until}: " in comments


def test_png_of_two_chains_is_written(tmp_path: Path, model: PlannerModel, report: PlanReport) -> None:
    path = tmp_path / "plan.png"
    plot_plan(replace(report, chains=report.chains * 2), model, path)
    assert path.read_bytes().startswith(b"\x89PNG")


def test_timelines_of_chains_share_one_time_axis(
    tmp_path: Path, model: PlannerModel, report: PlanReport, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[Figure] = []
    monkeypatch.setattr(Figure, "savefig", lambda figure, *_, **__: drawn.append(figure))
    quick = report.chains[0]
    slow = replace(quick, stages=tuple(replace(s, stage_s=3 * s.stage_s) for s in quick.stages))
    plot_plan(replace(report, chains=(quick, slow)), model, tmp_path / "plan.svg")
    plot_plan(replace(report, chains=(slow,)), model, tmp_path / "plan.svg")
    both, alone = (figure.axes for figure in drawn)
    assert both[0].get_xlim() == both[1].get_xlim() == alone[0].get_xlim()
    # The model's axis is in operators.
    assert both[2].get_xlim() == both[3].get_xlim() == alone[1].get_xlim() != both[0].get_xlim()


def test_other_endings_and_places_are_refused(tmp_path: Path, model: PlannerModel, report: PlanReport) -> None:
    with pytest.raises(PlotError, match=r"expected \.svg, \.png"):
        plot_plan(report, model, tmp_path / "plan.gif")
    with pytest.raises(PlotError, match="cannot be written"):
        plot_plan(report, model, tmp_path / "missing" / "plan.svg")

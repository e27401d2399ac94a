"""Sharing that was tried: a model whose halves take half as long is shared on slow boards, and what was tried is what is said."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from benchmarks.boards import BoardSpec, EmulatedBoards
from examples.local_boards import LocalBoards
from fleet.errors import BoardRefusedError
from fleet.event_loop import run_in_loop
from fleet.inventory import Board, Inventory
from partitioning import Graph
from partitioning.strips import SharedAxis, SharedSegment
from partitioning.strips.costs import BoardTimes, MessageCost, SpanTimes
from planner.board_profiles import ProfileSettings
from planner.boards_plan import BoardsPlan, Listeners, PlanWishes, plan_on_boards
from planner.explain import print_plan
from planner.group_trial import scaled, try_stage
from planner.model import PlannerModel
from planner.report import Proof
from tests.emulation import able
from tests.partitioning.graph_builder import ModelBuilder
from tests.planner.on_boards import SETTINGS, trials_on

__all__ = ["able"]
_LAYERS, _SIDE, _CHANNELS = 12, 56, 64
_MODEL_ON_BOARDS = ProfileSettings(confidence=0.1, budget_s=0.5)


def convolutions() -> bytes:
    """3x3 convolutions of an image: 0.1 G multiplications each, but for the first, and 0.1 MiB of weights."""
    builder = ModelBuilder()
    main = builder.main
    rng = np.random.default_rng(4)
    first = last = main.tensor([1, _SIDE, _SIDE, 3], name="x")
    for layer in range(_LAYERS):
        n_in = _CHANNELS if layer else 3
        weights = rng.normal(size=(_CHANNELS, 3, 3, n_in)).astype(np.float32) / _CHANNELS
        operands = [last, main.constant(weights, name=f"w{layer}")]
        operands.append(main.constant(np.zeros(_CHANNELS, np.float32), name=f"b{layer}"))
        last = main.tensor([1, _SIDE, _SIDE, _CHANNELS], name=f"y{layer}")
        options = schema.Conv2DOptionsT()
        options.padding, options.strideH, options.strideW = schema.Padding.SAME, 1, 1
        main.operator("CONV_2D", operands, [last], options)
    main.ends([first], [last])
    return builder.build()


def plan(boards: Sequence[Board]) -> BoardsPlan:
    """Runs where the boards are."""
    model = PlannerModel.from_graph("convolutions", Graph.from_bytes(convolutions()))
    return run_in_loop(
        plan_on_boards(model, Inventory(tuple(boards)), PlanWishes("latency"), _MODEL_ON_BOARDS, Listeners())
    )


@pytest.fixture(scope="module")
def slow_boards(able: None) -> Iterator[EmulatedBoards]:
    specs = [BoardSpec(f"pi{n}", cores=0.15, link_bits_per_s=1e9) for n in (1, 2)]
    with EmulatedBoards(specs, node_arguments=("--threads", "1", "--trial-load", "never")) as boards:
        yield boards


def test_sharing_that_gains_is_planned_with_what_it_took(
    slow_boards: EmulatedBoards, capsys: pytest.CaptureFixture[str]
) -> None:
    found = slow_boards.call(plan, slow_boards.named, timeout_s=120.0)
    report = found.report
    assert sorted(found.plan.board_names) == ["pi1", "pi2"]
    assert report.proof is Proof.SHARED
    (stage,) = report.stages
    assert stage.sharing is not None
    assert [share.board for share in stage.sharing.boards] == list(found.plan.board_names)
    assert stage.label == " + ".join(found.plan.board_names)
    assert report.chains[0].latency_s == report.latency_s
    alone = next(a for a in report.alternatives if a.what == f"{stage.board} alone")
    assert alone.latency_s is not None
    assert report.latency_s < 0.97 * alone.latency_s
    print_plan(report)
    assert f"times as soon as {stage.board} alone" in capsys.readouterr().out


def test_board_that_refuses_its_share_is_an_error_and_leaves_nothing(boards: LocalBoards) -> None:
    graph = Graph.from_bytes(convolutions())
    one, other = boards.named[:2]
    segments = [SharedSegment(0, _LAYERS, SharedAxis.ROWS, (1.0, 1.0))]
    assert run_in_loop(try_stage(graph, (0, _LAYERS), segments, [one, other], 0.01, SETTINGS)) > 0
    refusing = replace(other, threads=10**6)
    with pytest.raises(BoardRefusedError, match=r"board2: .*threads"):
        run_in_loop(try_stage(graph, (0, _LAYERS), segments, [one, refusing], 0.01, SETTINGS))
    assert trials_on(one) == trials_on(other) == []


def test_factors_apply_to_operators_and_to_strips_and_messages() -> None:
    of_half = SpanTimes(np.array([1.0, 2.0]), np.array([3.0, 4.0]))
    times = BoardTimes(np.array([4.0]), {(SharedAxis.ROWS, 0): of_half}, 0.5, MessageCost(0.25, 1e-6, 2e-6))
    twice = scaled(times, 2.0, 3.0)
    assert twice.whole_s.tolist() == [8.0]
    assert twice.shared[SharedAxis.ROWS, 0].seconds.tolist() == [6.0, 8.0]
    assert twice.strip_s == 1.5
    assert twice.message == MessageCost(0.75, 1e-6, 2e-6)

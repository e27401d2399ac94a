"""Boards that share a stage: the whole model's bits, alone and inside a chain, and nothing lost when one of them fails."""

from __future__ import annotations

import re
import signal
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from bundle import Bundle, Plan, PlannedChain, PlannedStage
from bundle.plan import PlannedSegment
from bundle.plan_file import render_plan
from bundle.splitting import planned_segments
from converter.verification import verify_bundle
from dispatcher_client import Dispatcher, ReplyReport
from dispatcher_client.errors import PlacementError
from dispatcher_client.placement import place_chains
from dispatcher_client.tracing.timeline import timelines
from examples.local_boards import LocalBoards
from fleet.board_control import BoardControl
from fleet.errors import BoardError
from fleet.event_loop import run_in_loop
from fleet.inventory import Inventory
from partitioning.cuts import crossing_tensors
from runtime import load_runtime
from tests.bundles import load_zoo_model, make_bundle
from tests.credentials import OPERATOR
from tests.dispatcher_client.test_recovery import Expected
from tests.dispatcher_client.whole_model import named, random_inputs, run_whole
from tests.freezing import freeze
from tests.lasting_boards import LastingBoards
from tests.node_service.stubs import TIMEOUT_S
from tests.shared_segments import share_all

_CUT = 9


def group_bundle(
    out: Path, name: str, mode: str, shares: Sequence[float], longest: int = 5, gathered: bool = False
) -> Bundle:
    """A model whole, and shared."""
    segments = [replace(s, gathered=gathered) for s in share_all(load_zoo_model(name, mode).graph, shares, longest)]
    return make_bundle(out, name, mode, cut_lists=[[], []], groups=[{}, {0: segments}])


def group_plan(bundle: Bundle, *boards: str) -> Plan:
    return Plan(
        bundle.manifest.model_name, "latency", (PlannedChain((PlannedStage(boards[0], None, tuple(boards[1:])),)),)
    )


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return group_bundle(tmp_path_factory.mktemp("group") / "parts", "residual", "float32", (1, 1, 1))


@pytest.fixture(scope="module")
def expected(bundle: Bundle) -> Expected:
    return Expected(bundle)


@pytest.mark.parametrize(
    ("name", "mode", "shares", "gathered"),
    [
        ("yolo_neck", "int8", (1, 1, 1), False),
        ("yolo_neck", "int8", (1, 1, 1), True),
        ("unet", "float32", (3, 2), False),
        ("two_inputs", "int8", (1, 0, 1), False),
        ("mlp", "float32", (1, 2, 1), False),
    ],
)
def test_group_gives_the_whole_models_bytes(
    boards: LocalBoards, tmp_path: Path, name: str, mode: str, shares: Sequence[float], gathered: bool
) -> None:
    bundle = group_bundle(tmp_path / "parts", name, mode, shares, gathered=gathered)
    assert verify_bundle(bundle, load_runtime()).is_identical
    plan = group_plan(bundle, *(board.name for board in boards.boards[: len(shares)]))
    inputs = [random_inputs(bundle, seed) for seed in range(3)]
    with Dispatcher(bundle, boards.named, plan=plan, credentials=boards.credentials) as chain:
        assert [named(chain, answer) for answer in chain.stream(inputs * 3)] == [
            run_whole(bundle, x) for x in inputs
        ] * 3


def test_each_board_of_a_group_says_what_it_did(boards: LocalBoards, bundle: Bundle) -> None:
    reports: list[ReplyReport] = []
    names = [board.name for board in boards.boards]
    with Dispatcher(
        bundle, boards.named, plan=group_plan(bundle, *names), credentials=boards.credentials, on_reply=reports.append
    ) as chain:
        assert chain.route == "board1 + board2 + board3"
        for seed in range(3):
            chain.infer(random_inputs(bundle, seed))
    for report in reports[-3:]:
        assert [(t.stage_index, t.member) for t in report.timings] == [(0, 0), (1, 1), (2, 2)]
        assert report.passed == report.timings[:1]
        (timeline,) = timelines([report])
        assert len(timeline.stages) == 1
        assert timeline.uncertainty_s < report.latency_s
        assert all(
            t.compute_ns and t.pieces_wait_ns and t.pieces_sent_bytes and t.pieces_received_bytes
            for t in report.timings
        )
        sent, received = (
            sum(getattr(t, f"pieces_{what}_bytes") for t in report.timings) for what in ("sent", "received")
        )
        assert sent == received


def test_groups_stand_in_a_chain(boards: LocalBoards, tmp_path: Path) -> None:
    graph = load_zoo_model("residual", "int8").graph
    front, back = share_all(graph, (1, 1), 4, 0, _CUT), share_all(graph, (2, 1), 4, _CUT)
    bundle = make_bundle(
        tmp_path / "parts", "residual", "int8", cut_lists=[[str(_CUT)]] * 2, groups=[{1: back}, {0: front}]
    )
    x = random_inputs(bundle, 0)
    for stages in (
        (PlannedStage("board1", _CUT), PlannedStage("board2", None, ("board3",))),
        (PlannedStage("board3", _CUT, ("board1",)), PlannedStage("board2")),
    ):
        plan = Plan(bundle.manifest.model_name, "throughput", (PlannedChain(stages),))
        with Dispatcher(bundle, boards.named, plan=plan, credentials=boards.credentials) as chain:
            assert named(chain, chain.infer(x)) == run_whole(bundle, x)


@pytest.mark.parametrize("mode", ["int8", "float32"])
def test_detector_gives_the_same_bits_in_chain_strips_and_groups(
    boards: LocalBoards, tmp_path: Path, mode: str
) -> None:
    """Three outputs, and no cut that a single tensor crosses: EdgeFlow's case."""
    graph = load_zoo_model("yolo_neck", mode).graph
    last = len(graph.operators)
    first, second = last // 3, 2 * last // 3
    assert all(len(crossing_tensors(graph, cut)) > 1 for cut in (first, second))
    strips = share_all(graph, (2, 1, 1), 5)
    front, back = share_all(graph, (1, 1), 4, 0, first), share_all(graph, (1, 2), 4, first)
    bundle = make_bundle(
        tmp_path / "parts",
        "yolo_neck",
        mode,
        cut_lists=[[], [str(first), str(second)], [], [str(first)], [str(first)]],
        groups=[{}, {}, {0: strips}, {0: front}, {1: back}],
    )
    inputs = [random_inputs(bundle, seed) for seed in range(4)]
    expected = [run_whole(bundle, x) for x in inputs]
    for stages in (
        (PlannedStage("board1", first), PlannedStage("board2", second), PlannedStage("board3")),
        (PlannedStage("board1", None, ("board2", "board3")),),
        (PlannedStage("board1", first, ("board2",)), PlannedStage("board3")),
        (PlannedStage("board1", first), PlannedStage("board2", None, ("board3",))),
    ):
        plan = Plan(bundle.manifest.model_name, "throughput", (PlannedChain(stages),))
        with Dispatcher(bundle, boards.named, plan=plan, credentials=boards.credentials) as chain:
            assert [named(chain, answer) for answer in chain.stream(inputs)] == expected


def test_two_applications_take_turns_on_a_group(boards: LocalBoards, bundle: Bundle, expected: Expected) -> None:
    plan = group_plan(bundle, *(board.name for board in boards.boards))
    with (
        Dispatcher(bundle, boards.named, plan=plan, credentials=boards.credentials) as one,
        Dispatcher(bundle, boards.named, plan=plan, credentials=boards.credentials) as other,
    ):
        streams = [chain.stream(expected.source(lambda: None, 30)) for chain in (one, other)]
        for answers in zip(*streams):
            assert len({str(named(one, answer)) for answer in answers}) == 1


def test_group_of_another_size_is_refused(boards: LocalBoards, bundle: Bundle) -> None:
    plan = group_plan(bundle, "board1", "board2")
    with pytest.raises(PlacementError, match=r"nowhere for groups of 2 boards.*nowhere, or nowhere for groups of 3"):
        Dispatcher(bundle, boards.named, plan=plan, credentials=boards.credentials).open()


def plan_of_shares(bundle: Bundle, segments: Sequence[PlannedSegment]) -> Plan:
    stage = PlannedStage("board1", None, ("board2", "board3"), tuple(segments))
    return Plan(bundle.manifest.model_name, "latency", (PlannedChain((stage,)),))


def scaled(segment: PlannedSegment, *by: float) -> PlannedSegment:
    return replace(segment, shares=tuple(share * times for share, times in zip(segment.shares, by)))


def test_plan_that_shares_as_the_bundle_does_is_taken(boards: LocalBoards, bundle: Bundle, tmp_path: Path) -> None:
    held = planned_segments(bundle.splittings[1].leaders[0])
    assert {segment.by for segment in held} == {"rows", "channels", ""}
    for segments in (
        [],  # which leaves it to the bundle
        held,
        [*held[:-1], replace(held[-1], until=None)],
        [scaled(segment, *[1 / 7] * 3) for segment in held],
    ):
        (tmp_path / "plan.yaml").write_text(render_plan(plan_of_shares(bundle, segments)))
        (placed,) = place_chains(bundle, boards.named, tmp_path / "plan.yaml")
        assert placed.splitting == bundle.splittings[1]
        assert placed.splitting.is_made_for(plan_of_shares(bundle, segments).chains[0])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda held: [scaled(held[0], 2, 1, 1), *held[1:]], r"by: rows, shares: \[2, 1, 1\]"),
        (lambda held: [replace(held[0], until=held[0].until - 1), *held[1:]], "until: 4, by: rows"),
        (lambda held: [replace(held[0], by="channels"), *held[1:]], "until: 5, by: channels"),
        (lambda held: held[1:], "as { until: "),
        (lambda held: [replace(held[-1], until=None)], r"as { shares: \[0, 0, 1\] }"),
    ],
)
def test_plan_with_other_shares_than_the_bundles_is_refused(
    boards: LocalBoards,
    bundle: Bundle,
    change: Callable[[Sequence[PlannedSegment]], Sequence[PlannedSegment]],
    words: str,
) -> None:
    plan = plan_of_shares(bundle, change(planned_segments(bundle.splittings[1].leaders[0])))
    expected = (
        r"board2 \+ board3 share operators 0 to \d+ as .*are made for { until: 5, by: rows, shares: \[1, 1, 1\].*Split"
    )
    with pytest.raises(PlacementError, match=expected) as refused:
        Dispatcher(bundle, boards.named, plan=plan, credentials=boards.credentials).open()
    assert re.search(words, str(refused.value))
    assert not bundle.splittings[1].is_made_for(plan.chains[0])


@pytest.mark.parametrize("index", [0, 2])
@pytest.mark.parametrize("fault", ["killed", "frozen"])
def test_spare_takes_a_place_in_the_group_and_nothing_is_lost(
    store_root: Path, bundle: Bundle, expected: Expected, fault: str, index: int
) -> None:
    with LocalBoards(4, store_root) as running:
        process = running.boards[index].process
        strike: Callable[[], object] = process.kill if fault == "killed" else lambda: freeze(process)
        inventory = Inventory(tuple(running.named), spares=("board4",))
        plan = group_plan(bundle, "board1", "board2", "board3")
        try:
            with Dispatcher(bundle, inventory, plan=plan, credentials=OPERATOR) as chain:
                expected.check(chain, expected.source(strike))
                assert "board4" in chain.route
                assert f"board{index + 1}" not in chain.route
        finally:
            process.send_signal(signal.SIGCONT)


def test_boards_that_are_left_share_what_the_lost_one_did(store_root: Path, bundle: Bundle, expected: Expected) -> None:
    with LocalBoards(3, store_root) as running:
        plan = group_plan(bundle, "board1", "board2", "board3")
        with Dispatcher(bundle, running.named, plan=plan, credentials=OPERATOR) as chain:
            expected.check(chain, expected.source(running.boards[1].process.kill))
            assert "board2" not in chain.route


def test_group_goes_on_with_fewer_boards_where_its_bundle_has_that(store_root: Path, tmp_path: Path) -> None:
    graph = load_zoo_model("residual", "float32").graph
    three, two = share_all(graph, (2, 1, 1), 5), share_all(graph, (2, 1), 5)
    bundle = make_bundle(tmp_path / "parts", "residual", "float32", cut_lists=[[], []], groups=[{0: three}, {0: two}])
    expected = Expected(bundle)
    with LocalBoards(3, store_root) as running:
        plan = group_plan(bundle, "board1", "board2", "board3")
        with Dispatcher(bundle, running.named, plan=plan, credentials=OPERATOR) as chain:
            expected.check(chain, expected.source(running.boards[0].process.kill))
            assert chain.route == "board2 + board3"


def test_lost_board_is_named(store_root: Path, bundle: Bundle) -> None:
    x = random_inputs(bundle, 0)
    with LocalBoards(3, store_root) as running:
        plan = group_plan(bundle, "board1", "board2", "board3")
        with Dispatcher(bundle, running.named, plan=plan, credentials=OPERATOR, recovers=False) as chain:
            chain.infer(x)
            running.boards[2].process.kill()
            with pytest.raises(BoardError, match="board board3: in its group, it broke its stream") as lost:
                chain.infer(x)
            assert str(lost.value).count("board3") == 1


@pytest.mark.parametrize("index", [0, 2])
def test_board_that_is_drained_gives_its_place_away_and_nothing_is_lost(
    store_root: Path, bundle: Bundle, expected: Expected, index: int
) -> None:
    with LocalBoards(4, store_root) as running:
        inventory = Inventory(tuple(running.named), spares=("board4",))
        plan = group_plan(bundle, "board1", "board2", "board3")

        def drain() -> None:
            async def ask() -> None:
                async with BoardControl(running.named[index], credentials=OPERATOR, timeout_s=TIMEOUT_S) as control:
                    await control.drain()

            run_in_loop(ask())

        with Dispatcher(bundle, inventory, plan=plan, credentials=OPERATOR) as chain:
            expected.check(chain, expected.source(drain))
            assert f"board{index + 1}" not in chain.route


def test_group_goes_back_to_its_leader_while_it_serves(store_root: Path, bundle: Bundle, expected: Expected) -> None:
    with LastingBoards(4, store_root) as running:
        inventory = Inventory(tuple(running.named), spares=("board4",))
        plan = group_plan(bundle, "board1", "board2", "board3")
        with Dispatcher(bundle, inventory, plan=plan, credentials=OPERATOR) as chain:
            expected.check(chain, expected.source(running.boards[0].process.kill))
            assert chain.route.startswith("board4")
            running.restart(0)
            while not chain.route.startswith("board1"):
                expected.check(chain, expected.source(lambda: None, 40), 40)
            expected.check(chain, expected.source(lambda: None, 40), 40)

"""Two chains that are cut differently, over three real node services.

board1 -> board2      operators 0-8, 9-32
board3                the whole model
"""

from __future__ import annotations

import collections
import itertools
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from bundle import Bundle, Plan, PlannedChain, PlannedStage
from dispatcher_client import (
    Board,
    BoardUnavailableError,
    Dispatcher,
    OptionError,
    PlacementError,
    ReplyReport,
)
from dispatcher_client.bench import ReplyLog, run_bench
from dispatcher_client.status import read_status, undeploy_everywhere
from examples.local_boards import LocalBoards
from fleet.event_loop import run_in_loop
from tests.credentials import OPERATOR
from tests.dispatcher_client.whole_model import named, random_inputs, run_whole
from tests.freezing import PATIENCE_S, PATIENT, freeze, is_frozen
from tests.node_service.stubs import TIMEOUT_S
from tests.transport.message_stream.by_hand import comes_true

MakeBundle = Callable[..., Bundle]


def served(boards: LocalBoards) -> dict[str, list[tuple[str, int]]]:
    """What each board serves: (deployment, stage)."""
    rows = run_in_loop(read_status(boards.named, credentials=OPERATOR, timeout_s=5))
    return {row["board"]: [(s["deployment_id"], s["stage"]) for s in row["stages"]] for row in rows}


def test_both_chains_answer_with_the_whole_models_bytes_in_order(boards: LocalBoards, two_chains: Bundle) -> None:
    inputs = [random_inputs(two_chains, seed) for seed in range(40)]
    log = ReplyLog()
    with Dispatcher(two_chains, boards.named, on_reply=log, check_sample=False) as dispatcher:
        assert dispatcher.window == 5
        assert [(s.placement.chain_index, s.placement.stage_index) for s in dispatcher.stages] == [
            (0, 0),
            (0, 1),
            (1, 0),
        ]
        assert dispatcher.promise.fleet_matches_bundle
        assert "board1 -> board2 | " in repr(dispatcher)
        answers = [named(dispatcher, answer) for answer in dispatcher.stream(inputs)]
    assert answers == [run_whole(two_chains, x) for x in inputs]
    used = collections.Counter(report.chain_index for report in log.reports)
    assert used[0] > 5
    assert used[1] > 5
    assert {len(r.timings) for r in log.reports if r.chain_index == 0} == {2}
    assert {len(r.timings) for r in log.reports if r.chain_index == 1} == {1}


def test_each_splitting_is_a_deployment_of_its_own(store_root: Path, two_chains: Bundle) -> None:
    parts, whole = (splitting.deployment_id for splitting in two_chains.splittings)
    with LocalBoards(3, store_root) as running:
        with Dispatcher(two_chains, running.named):
            assert served(running) == {"board1": [(parts, 0)], "board2": [(parts, 1)], "board3": [(whole, 0)]}
        rows = run_in_loop(undeploy_everywhere(running.named, [parts, whole], credentials=OPERATOR, timeout_s=5))
        assert [row["unloaded_stages"] for row in rows] == [1, 1, 1]
        assert not any(served(running).values())


def test_sample_is_checked_on_every_chain(boards: LocalBoards, two_chains: Bundle) -> None:
    log = ReplyLog()
    with Dispatcher(two_chains, boards.named, on_reply=log):
        assert sorted(report.chain_index for report in log.reports) == [0, 1]


def test_request_is_answered_by_the_chain_that_is_asked(boards: LocalBoards, two_chains: Bundle) -> None:
    log = ReplyLog()
    x = random_inputs(two_chains, 0)
    with Dispatcher(two_chains, boards.named, on_reply=log, check_sample=False) as dispatcher:
        for chain_index in (1, 1, 0, 1):
            dispatcher.infer(x, chain_index=chain_index)
        for chain_index in (-1, 2):
            with pytest.raises(OptionError, match="there are chains 0 to 1"):
                dispatcher.infer(x, chain_index=chain_index)
    assert [report.chain_index for report in log.reports] == [1, 1, 0, 1]


def test_fast_chain_goes_on_while_one_answer_of_the_other_is_slow(store_root: Path, two_chains: Bundle) -> None:
    """Board3 stands still from the 20th input until the other chain has answered four times as many as both windows hold."""
    inputs = [random_inputs(two_chains, seed % 8) for seed in range(80)]
    answered_meanwhile = 0
    with LocalBoards(3, store_root, PATIENT) as running:
        slow = running.boards[2].process

        def count(report: ReplyReport) -> None:
            nonlocal answered_meanwhile
            if is_frozen(slow) and report.chain_index == 0:
                answered_meanwhile += 1
                if answered_meanwhile == 24:
                    slow.send_signal(signal.SIGCONT)

        def source() -> Iterator[dict[str, np.ndarray]]:
            for index, x in enumerate(inputs):
                if index == 20:
                    freeze(slow)
                yield x

        with Dispatcher(two_chains, running.named, window=3, silence_s=PATIENCE_S, on_reply=count) as dispatcher:
            answers = [named(dispatcher, answer) for answer in dispatcher.stream(source())]
    expected = [run_whole(two_chains, x) for x in inputs[:8]]
    assert answers == list(itertools.islice(itertools.cycle(expected), 80))
    assert answered_meanwhile >= 24


@pytest.mark.parametrize("killed", [1, 2])
def test_one_chain_goes_on_when_the_other_breaks_and_the_last_failure_is_told(
    store_root: Path, two_chains: Bundle, killed: int
) -> None:
    x = random_inputs(two_chains, 0)
    expected = run_whole(two_chains, x)
    with LocalBoards(3, store_root) as running, Dispatcher(two_chains, running.named, recovers=False) as dispatcher:
        broken = 0 if killed < 2 else 1
        running.boards[killed].process.kill()
        running.boards[killed].process.wait(TIMEOUT_S)
        with pytest.raises(BoardUnavailableError, match=f"board{killed + 1}") as caught:
            dispatcher.infer(x, chain_index=broken)
        assert caught.value.board == f"board{killed + 1}"
        answers = list(dispatcher.stream([x] * 30))
        assert [named(dispatcher, answer) for answer in answers] == [expected] * 30
        assert "broken, 1 of 2 chains open" in repr(dispatcher)
        for board in running.boards:
            board.process.kill()
            board.process.wait(TIMEOUT_S)
        errors = [dispatcher.submit(x).exception(TIMEOUT_S) for _ in range(20)]
        assert all(isinstance(error, BoardUnavailableError) for error in errors)
        assert "broken, 0 of 2 chains open" in repr(dispatcher)


def test_requests_in_flight_end_with_the_error_of_the_chain_that_broke(store_root: Path, two_chains: Bundle) -> None:
    x = random_inputs(two_chains, 0)
    with LocalBoards(3, store_root) as running, Dispatcher(two_chains, running.named, recovers=False) as dispatcher:
        dispatcher.infer(x)
        last = running.boards[2].process
        freeze(last)  # so that requests are surely in flight when it dies
        requests = [dispatcher.submit(x, chain_index=1) for _ in range(2)]
        last.kill()
        for request in requests:
            assert isinstance(request.exception(TIMEOUT_S), BoardUnavailableError)
        for _ in range(10):
            dispatcher.infer(x)


def test_no_chain_stays_open_when_one_cannot_be_opened(store_root: Path, two_chains: Bundle) -> None:
    with LocalBoards(3, store_root) as running:
        with Dispatcher(two_chains, running.named):
            pass
        running.boards[2].stop()
        with pytest.raises(BoardUnavailableError, match="board3"):
            Dispatcher(two_chains, running.named, open_timeout_s=5, recovers=False).open()

        def streams() -> list[int]:
            rows = run_in_loop(read_status(running.named[:2], credentials=OPERATOR, timeout_s=5))
            return [stage["streams"] for row in rows for stage in row["stages"]]

        assert comes_true(lambda: streams() == [0, 0])


def test_explicit_plan_counts_before_the_bundles(boards: LocalBoards, two_chains: Bundle) -> None:
    plan = Plan(two_chains.manifest.model_name, "latency", (PlannedChain((PlannedStage("board2"),)),))
    x = random_inputs(two_chains, 1)
    with Dispatcher(two_chains, boards.named, plan=plan) as dispatcher:
        assert [s.placement.board.name for s in dispatcher.stages] == ["board2"]
        assert named(dispatcher, dispatcher.infer(x)) == run_whole(two_chains, x)


def test_plan_that_does_not_fit_is_refused_before_anything_is_connected(
    boards: LocalBoards, zoo_bundle: MakeBundle, two_chains: Bundle
) -> None:
    own = two_chains.plan()
    assert own is not None
    with pytest.raises(PlacementError, match=r"board3 is not among the boards given \(board1, board2\)"):
        Dispatcher(two_chains, boards.named[:2], plan=own)
    other = zoo_bundle("residual", "int8", 2)
    with pytest.raises(PlacementError, match=r"is cut nowhere, but the splittings of .* are cut at"):
        Dispatcher(other, boards.named, plan=own)


def test_threads_of_the_inventory_reach_the_board(store_root: Path, two_chains: Bundle) -> None:
    with LocalBoards(3, store_root) as running:
        with_threads = [Board(b.name, b.address, threads=2) for b in running.named]
        with Dispatcher(two_chains, with_threads) as dispatcher:
            assert named(dispatcher, dispatcher.infer(random_inputs(two_chains, 2)))


def test_bench_measures_every_chain_alone_and_adds_their_bounds(boards: LocalBoards, two_chains: Bundle) -> None:
    log = ReplyLog()
    sample = two_chains.load_sample()[0]
    with Dispatcher(two_chains, boards.named, on_reply=log) as dispatcher:
        figures = run_bench(dispatcher, log, itertools.repeat(sample), 60)
    assert [(s.chain, s.stage, s.board) for s in figures.stages] == [
        (0, 0, "board1"),
        (0, 1, "board2"),
        (1, 0, "board3"),
    ]
    assert figures.bound_per_s == pytest.approx(sum(c.bound_per_s for c in figures.chains))
    assert sum(c.frames for c in figures.chains) == 60
    assert all(s.alone_ms > 0 for s in figures.stages)
    for chain_index in (0, 1):
        shares = [s.share_of_compute for s in figures.stages if s.chain == chain_index]
        assert sum(shares) == pytest.approx(1)

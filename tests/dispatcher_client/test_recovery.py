"""Boards fail and nothing is lost: every input is answered once, in order, with the bits of the whole model."""

from __future__ import annotations

import itertools
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from bundle import Bundle
from dispatcher_client import Board, Dispatcher
from dispatcher_client.errors import ReplyTimeoutError
from dispatcher_client.service import Service
from examples.local_boards import LocalBoards
from fleet.errors import BoardUnavailableError
from fleet.inventory import Inventory
from tests.dispatcher_client.whole_model import named, random_inputs, run_whole
from tests.freezing import freeze
from tests.lasting_boards import LastingBoards
from tests.node_service.stubs import TIMEOUT_S
from tests.transport.message_stream.by_hand import comes_true

MakeBundle = Callable[..., Bundle]
N_INPUTS = 120
FAULT_AT = 40


@pytest.fixture(scope="module")
def bundle(zoo_bundle: MakeBundle) -> Bundle:
    return zoo_bundle("residual", "float32")


class Expected:
    """Inputs, and the whole model's answers."""

    def __init__(self, bundle: Bundle) -> None:
        self.inputs = [random_inputs(bundle, seed) for seed in range(4)]
        self.answers = [run_whole(bundle, x) for x in self.inputs]

    def source(self, fault: Callable[[], object], n_inputs: int = N_INPUTS) -> Iterator[dict[str, np.ndarray]]:
        for index, x in enumerate(itertools.islice(itertools.cycle(self.inputs), n_inputs)):
            if index == FAULT_AT:
                fault()
            yield x

    def check(self, chain: Dispatcher, source: Iterator[dict[str, np.ndarray]], n_inputs: int = N_INPUTS) -> None:
        answers = [named(chain, answer) for answer in chain.stream(source)]
        assert len(answers) == n_inputs
        assert answers == list(itertools.islice(itertools.cycle(self.answers), n_inputs))


@pytest.fixture(scope="module")
def expected(bundle: Bundle) -> Expected:
    return Expected(bundle)


def with_spares(running: LocalBoards, *spares: str) -> Inventory:
    return Inventory(tuple(running.named), spares=spares)


@pytest.mark.parametrize("index", [0, 1, 2])
@pytest.mark.parametrize("fault", ["killed", "frozen"])
def test_spare_takes_the_place_of_a_board_and_nothing_is_lost(
    store_root: Path, bundle: Bundle, expected: Expected, fault: str, index: int
) -> None:
    with LocalBoards(4, store_root) as running:
        process = running.boards[index].process
        strike = process.kill if fault == "killed" else lambda: freeze(process)
        try:
            with Dispatcher(bundle, with_spares(running, "board4")) as chain:
                expected.check(chain, expected.source(strike))
                assert "board4" in chain.route
                assert f"board{index + 1}" not in chain.route
        finally:
            process.send_signal(signal.SIGCONT)


def test_boards_that_are_left_take_the_stage_when_there_is_no_spare(
    store_root: Path, bundle: Bundle, expected: Expected
) -> None:
    with LocalBoards(3, store_root) as running, Dispatcher(bundle, running.named) as chain:
        expected.check(chain, expected.source(running.boards[1].process.kill))
        assert chain.route.count("board1") + chain.route.count("board3") == 3


def test_two_boards_at_once_and_then_the_spare(store_root: Path, bundle: Bundle, expected: Expected) -> None:
    with LocalBoards(4, store_root) as running:
        boards = running.boards

        def strike() -> None:
            boards[0].process.kill()
            boards[2].process.kill()

        with Dispatcher(bundle, with_spares(running, "board4")) as chain:
            expected.check(chain, expected.source(strike))
            expected.check(chain, expected.source(boards[3].process.kill))
            assert chain.route == "board2 -> board2 -> board2"


def test_requests_end_with_the_error_when_no_board_is_left(store_root: Path, bundle: Bundle) -> None:
    x = random_inputs(bundle, 0)
    with LocalBoards(1, store_root) as running:
        boards = running.named * 3
        with Dispatcher(bundle, boards, recovery_timeout_s=1) as chain:
            chain.infer(x)
            freeze(running.boards[0].process)
            requests = [chain.submit(x) for _ in range(3)]
            running.boards[0].process.kill()
            for request in requests:
                with pytest.raises(BoardUnavailableError, match="board1"):
                    request.result(TIMEOUT_S)
            with pytest.raises(BoardUnavailableError, match="board1"):
                chain.infer(x)


def test_all_boards_are_restarted_and_nothing_is_lost(
    store_root: Path, bundle: Bundle, expected: Expected, caplog: pytest.LogCaptureFixture
) -> None:
    with LastingBoards(2, store_root) as running, Dispatcher(bundle, [running.named[i] for i in (0, 1, 1)]) as chain:

        def restart() -> None:
            assert comes_true(lambda: "no board is left to mend the chain with" in caplog.text)
            for index in range(2):
                running.restart(index)

        restarting = threading.Thread(target=restart)

        def strike() -> None:
            for board in running.boards:
                board.process.kill()
                board.process.wait(TIMEOUT_S)
            restarting.start()

        expected.check(chain, expected.source(strike))
        restarting.join()
        assert "the chain goes on" in caplog.text


def test_board_that_comes_back_serves_again_once_it_has_proved_well(
    store_root: Path, bundle: Bundle, expected: Expected
) -> None:
    with LastingBoards(3, store_root) as running, Dispatcher(bundle, running.named) as chain:
        planned = chain.route
        lost = running.boards[1]
        expected.check(chain, expected.source(lost.process.kill))
        assert chain.route != planned
        lost.process.wait(TIMEOUT_S)
        running.restart(1)
        deadline_s, pause = time.monotonic() + 30, threading.Event()
        while chain.route != planned and time.monotonic() < deadline_s:
            expected.check(chain, expected.source(lambda: None))
            pause.wait(0.05)
        assert chain.route == planned
        expected.check(chain, expected.source(lambda: None))


def test_deadline_holds_while_a_chain_is_mended(store_root: Path, bundle: Bundle) -> None:
    x = random_inputs(bundle, 0)
    with LocalBoards(2, store_root) as running:
        one, two = running.named
        with Dispatcher(bundle, Inventory((one, one, one, two), spares=("board2",))) as chain:
            chain.infer(x)
            for board in running.boards:
                freeze(board.process)
            began_s = time.monotonic()
            with pytest.raises(ReplyTimeoutError, match=r"no answer within 1\.5 s while the chain was being mended"):
                chain.infer(x, timeout_s=1.5)
            assert time.monotonic() - began_s < 4
        assert time.monotonic() - began_s < 6, "what is being opened holds up nothing"
        for board in running.boards:
            board.process.send_signal(signal.SIGCONT)


def test_without_recovery_requests_end_with_the_error(store_root: Path, bundle: Bundle) -> None:
    x = random_inputs(bundle, 0)
    with (
        LocalBoards(4, store_root) as running,
        Dispatcher(bundle, with_spares(running, "board4"), recovers=False) as chain,
    ):
        chain.infer(x)
        freeze(running.boards[1].process)
        request = chain.submit(x)
        running.boards[1].process.kill()
        with pytest.raises(BoardUnavailableError, match="board2"):
            request.result(TIMEOUT_S)


@pytest.mark.parametrize("fault", ["killed", "frozen"])
def test_chain_beside_answers_for_one_that_no_board_is_left_for(
    store_root: Path, two_chains: Bundle, fault: str
) -> None:
    expected = Expected(two_chains)
    with LocalBoards(3, store_root) as running:
        # Neither may take another one's stage: no room for a single byte more.
        boards = [Board(b.name, b.address, memory_bytes=1) for b in running.named]
        process = running.boards[2].process
        strike = process.kill if fault == "killed" else lambda: freeze(process)
        try:
            with Dispatcher(two_chains, boards, recovery_timeout_s=1) as chain:
                expected.check(chain, expected.source(strike))
                assert chain.route == "board1 -> board2 | board3"
                deadline_s, pause = time.monotonic() + TIMEOUT_S, threading.Event()
                while "1 of 2 chains open" not in repr(chain) and time.monotonic() < deadline_s:
                    pause.wait(0.02)
                assert "1 of 2 chains open" in repr(chain)
                with pytest.raises(BoardUnavailableError, match="board3"):
                    chain.infer(expected.inputs[0], chain_index=1)
        finally:
            process.send_signal(signal.SIGCONT)


def test_board_that_comes_back_with_an_empty_store_is_brought_its_stage(
    store_root: Path, bundle: Bundle, expected: Expected
) -> None:
    with LastingBoards(2, store_root) as running, Dispatcher(bundle, [*running.named, running.named[0]]) as chain:
        lost = running.boards[1]
        expected.check(chain, expected.source(lost.process.kill))
        lost.stop()
        running.restart(1, empties=True)
        deadline_s, pause = time.monotonic() + 30, threading.Event()
        while "board2" not in chain.route and time.monotonic() < deadline_s:
            pause.wait(0.05)
        assert chain.route == "board1 -> board2 -> board1"
        expected.check(chain, expected.source(lambda: None))


def test_break_while_the_sample_is_checked_is_mended(
    store_root: Path, bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    x = random_inputs(bundle, 0)
    with LocalBoards(4, store_root) as running:
        check = Service._compare_sample

        def strike(service: Service) -> None:
            running.boards[1].process.kill()
            running.boards[1].process.wait(TIMEOUT_S)
            check(service)

        monkeypatch.setattr(Service, "_compare_sample", strike)
        with Dispatcher(bundle, with_spares(running, "board4"), reply_timeout_s=TIMEOUT_S) as chain:
            assert chain.route == "board1 -> board4 -> board3"
            assert named(chain, chain.infer(x)) == run_whole(bundle, x)


@pytest.mark.parametrize("n_spares", [0, 1])
def test_board_that_is_down_at_the_opening_is_gone_around(
    store_root: Path, bundle: Bundle, expected: Expected, n_spares: int
) -> None:
    with LocalBoards(3 + n_spares, store_root) as running:
        inventory = with_spares(running, *["board4"][:n_spares])
        running.boards[1].stop()
        with Dispatcher(bundle, inventory) as chain:
            assert "board2" not in chain.route
            assert ("board4" in chain.route) == bool(n_spares)
            # Before frames stream: on a busy machine a board may break the chain then, and the route is another one.
            assert [stage.placement.board.name for stage in chain.stages] == chain.route.split(" -> ")
            expected.check(chain, expected.source(lambda: None))


def test_opening_fails_when_no_other_board_can_be_reached(store_root: Path, bundle: Bundle) -> None:
    with LocalBoards(1, store_root) as running:
        boards = running.named * 3
        running.boards[0].stop()
        with pytest.raises(BoardUnavailableError, match="board1"):
            Dispatcher(bundle, boards).open()

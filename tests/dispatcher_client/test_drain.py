"""A board is taken out for service while requests come: none fails, and it comes back."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from bundle import Bundle
from dispatcher_client import Board, BoardRefusedError, BoardUnavailableError, Dispatcher
from dispatcher_client.status import DrainResult, drain_board, read_status
from examples.local_boards import LocalBoards
from fleet.event_loop import run_in_loop
from fleet.inventory import Inventory
from tests.credentials import OPERATOR
from tests.dispatcher_client.whole_model import named, random_inputs, run_whole
from tests.node_service.stubs import TIMEOUT_S
from tests.transport.message_stream.by_hand import comes_true
from transport.address import Address

MakeBundle = Callable[..., Bundle]
KEPT = DrainResult(streams=0, is_kept=True, why_not_kept="")


@pytest.fixture(scope="module")
def bundle(zoo_bundle: MakeBundle) -> Bundle:
    return zoo_bundle("residual", "float32")


def drain(board: Board, *, undo: bool = False) -> DrainResult:
    return run_in_loop(drain_board(board, undo=undo, credentials=OPERATOR, timeout_s=5))


def states(boards: list[Board]) -> list[str]:
    return [row["state"] for row in run_in_loop(read_status(boards, credentials=OPERATOR, timeout_s=5))]


@pytest.mark.parametrize(("index", "spares"), [(0, ()), (1, ("board4",)), (2, ())])
def test_drained_board_hands_over_without_a_failed_request_and_comes_back(
    store_root: Path, bundle: Bundle, index: int, spares: tuple[str, ...]
) -> None:
    inputs = [random_inputs(bundle, seed) for seed in range(3)]
    expected = [run_whole(bundle, x) for x in inputs]
    stop = threading.Event()
    answered = 0
    errors: list[BaseException] = []

    def source() -> Iterator[dict[str, np.ndarray]]:
        yield from itertools.takewhile(lambda _: not stop.is_set(), itertools.cycle(inputs))

    with LocalBoards(3 + len(spares), store_root) as running:
        board = running.named[index]
        with Dispatcher(bundle, Inventory(tuple(running.named), spares=spares)) as chain:
            planned = chain.route

            def stream() -> None:
                nonlocal answered
                try:
                    for number, answer in enumerate(chain.stream(source())):
                        assert named(chain, answer) == expected[number % 3]
                        answered += 1
                except BaseException as error:
                    errors.append(error)

            def goes_on() -> bool:
                before = answered
                return comes_true(lambda: answered > before + 20 or bool(errors))

            thread = threading.Thread(target=stream)
            thread.start()
            assert goes_on()
            assert drain(board) == KEPT
            assert states(running.named)[index] == "draining"
            assert goes_on()
            assert board.name not in chain.route
            assert all(spare in chain.route for spare in spares)
            assert drain(board) == KEPT, "draining what is drained changes nothing"
            drain(board, undo=True)
            assert states([board]) == ["serving"]
            assert comes_true(lambda: chain.route == planned, 30)
            assert goes_on()
            stop.set()
            thread.join(TIMEOUT_S)
        assert errors == []


def test_drained_board_takes_no_chain_and_loads_nothing(store_root: Path, bundle: Bundle) -> None:
    with LocalBoards(3, store_root) as running:
        with Dispatcher(bundle, running.named):
            pass
        drain(running.named[1])
        with pytest.raises(BoardRefusedError, match=r"board2: is draining, and loads nothing.*drain board2 --undo"):
            Dispatcher(bundle, running.named).open()
        drain(running.named[1], undo=True)
        with Dispatcher(bundle, running.named) as chain:
            chain.infer(random_inputs(bundle, 0))


def test_drained_board_stays_so_over_restarts_until_undo(store_root: Path, bundle: Bundle) -> None:
    x = random_inputs(bundle, 0)
    with LocalBoards(3, store_root) as running:
        with Dispatcher(bundle, running.named) as chain:
            expected = named(chain, chain.infer(x))
        assert drain(running.named[1]) == KEPT
    with LocalBoards(3, store_root) as running:
        assert states(running.named) == ["serving", "draining", "serving"]
        assert any("out of service, as before" in line for line in running.boards[1].log)
        with pytest.raises(BoardRefusedError, match=r"board2: is draining"):
            Dispatcher(bundle, running.named).open()
        running.boards[1].process.kill()
    with LocalBoards(3, store_root) as running:
        assert states(running.named) == ["serving", "draining", "serving"]
        assert drain(running.named[1], undo=True) == KEPT
        with Dispatcher(bundle, running.named) as chain:
            assert named(chain, chain.infer(x)) == expected
    with LocalBoards(3, store_root) as running:
        assert states(running.named) == ["serving"] * 3


def test_board_that_is_gone_cannot_be_drained() -> None:
    with pytest.raises(BoardUnavailableError, match="attic"):
        drain(Board("attic", Address("127.0.0.1", 1)))


def test_drain_command_says_what_it_did(store_root: Path, tmp_path: Path) -> None:
    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "dispatcher_client", *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    with LocalBoards(2, store_root) as running:
        addresses = ",".join(running.addresses)
        done = run("drain", running.addresses[1], "--boards", addresses)
        assert (done.returncode, done.stdout) == (0, f"{running.addresses[1]}: draining\n")
        assert states(running.named) == ["serving", "draining"]
        done = run("drain", running.addresses[1], "--boards", addresses, "--undo", "--json")
        assert json.loads(done.stdout) == {
            "board": running.addresses[1],
            "state": "serving",
            "streams": 0,
            "is_kept": True,
            "why_not_kept": "",
        }
        assert states(running.named) == ["serving", "serving"]
        done = run("drain", "attic", "--boards", addresses)
        assert done.returncode == 1
        assert f"attic is not among the boards given: {running.addresses[0]}" in done.stderr

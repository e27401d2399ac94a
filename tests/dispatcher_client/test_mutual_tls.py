"""Who may do what with real boards: an operator loads, a camera streams, a stranger does neither; certificates change meanwhile."""

from __future__ import annotations

import itertools
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bundle import Bundle
from dispatcher_client import Board, BoardUnavailableError, Dispatcher
from dispatcher_client.certificates import FleetDirectory, Holder, Right
from dispatcher_client.status import drain_board, read_status
from examples.local_boards import LocalBoard, LocalFleet
from fleet.errors import BoardForbiddenError
from fleet.event_loop import run_in_loop
from tests.dispatcher_client.whole_model import random_inputs, run_whole
from tests.transport.message_stream.by_hand import comes_true
from transport.address import Address
from transport.credentials import Credentials

TIMEOUT_S = 20


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> LocalFleet:
    return LocalFleet(tmp_path_factory.mktemp("fleet") / "local")


@pytest.fixture(scope="module")
def camera(fleet: LocalFleet) -> Path:
    return fleet.issue(Holder.client("camera", Right.STREAM))


@contextmanager
def serving(
    fleet: LocalFleet, root: Path, count: int = 2, *more: str
) -> Iterator[tuple[list[LocalBoard], list[Board]]]:
    boards: list[LocalBoard] = []
    try:
        for index in range(count):
            name = f"board{index + 1}"
            own = ["--threads", "1", "--credentials", str(fleet.board(name)), *more]
            boards.append(LocalBoard(name, root / name, own))
        yield boards, [Board(board.name, Address.parse(board.address)) for board in boards]
    finally:
        assert [board.stop() for board in boards] == [0] * len(boards)


@pytest.fixture(scope="module")
def bundle(zoo_bundle: Callable[..., Bundle]) -> Bundle:
    return zoo_bundle("residual", "float32", 2)


def test_camera_streams_what_an_operator_has_loaded_and_does_nothing_else(
    fleet: LocalFleet, camera: Path, bundle: Bundle, zoo_bundle: Callable[..., Bundle], store_root: Path
) -> None:
    inputs = [random_inputs(bundle, seed) for seed in range(4)]
    with serving(fleet, store_root) as (_, boards):
        with pytest.raises(BoardForbiddenError, match=r"certificate of camera has no right to operate.*certs issue"):
            Dispatcher(bundle, boards, credentials=camera).open()
        with Dispatcher(bundle, boards, credentials=fleet.operator):
            pass
        with Dispatcher(bundle, boards, credentials=camera) as chain:
            answers = list(chain.stream(inputs))
        for x, answer in zip(inputs, answers):
            assert isinstance(answer, np.ndarray)
            assert answer.tobytes() == next(iter(run_whole(bundle, x).values()))
        with pytest.raises(BoardForbiddenError):
            Dispatcher(zoo_bundle("unet", "float32", 2), boards, credentials=camera).open()
        with pytest.raises(BoardForbiddenError):
            run_in_loop(drain_board(boards[0], undo=False, credentials=Credentials(camera), timeout_s=5))
        (row, _) = run_in_loop(read_status(boards, credentials=Credentials(camera), timeout_s=5))
        assert row["state"] == "serving"
        assert re.fullmatch(r"20\d\d-\d\d-\d\d", row["certificate_ends"])


def test_strangers_and_plaintext_are_refused_in_words_that_help(
    fleet: LocalFleet, bundle: Bundle, store_root: Path, tmp_path: Path
) -> None:
    stranger = LocalFleet(tmp_path / "stranger")
    with serving(fleet, store_root) as (running, boards):
        with pytest.raises(BoardUnavailableError, match=r"certificates of one authority"):
            Dispatcher(bundle, boards, credentials=stranger.operator, recovers=False).open()
        with pytest.raises(BoardUnavailableError, match=r"Do both sides speak TLS"):
            Dispatcher(bundle, boards, insecure=True, recovers=False).open()
        renamed = [replace(boards[0], name="board2"), replace(boards[1], name="board1")]
        with pytest.raises(BoardUnavailableError, match=r"is the board's for board[12]"):
            Dispatcher(bundle, renamed, credentials=fleet.operator, recovers=False).open()
        by_address = [board.address for board in running]
        with Dispatcher(bundle, by_address, credentials=fleet.operator) as chain:
            chain.infer(random_inputs(bundle, 0))
        assert all(not board.log or "Traceback" not in "".join(board.log) for board in running)


def test_boards_check_each_other(fleet: LocalFleet, bundle: Bundle, store_root: Path) -> None:
    """The second board has the third one's certificate: the dispatcher's own hop is fine, the next one is not."""
    impostor = LocalBoard(
        "board2", store_root / "impostor", ["--threads", "1", "--credentials", str(fleet.board("board3"))]
    )
    try:
        with serving(fleet, store_root, 1) as (_, boards):
            second = Board("board3", Address.parse(impostor.address))
            with Dispatcher(bundle, [boards[0], second], credentials=fleet.operator):
                pass  # loaded, under the name that its certificate has
            named_wrongly = [boards[0], replace(second, name="board2")]
            with pytest.raises(BoardUnavailableError, match="board2"):
                Dispatcher(bundle, named_wrongly, credentials=fleet.operator, recovers=False).open()
    finally:
        assert impostor.stop() == 0


def test_certificates_are_rotated_under_a_stream_and_nothing_fails(
    bundle: Bundle, store_root: Path, tmp_path: Path
) -> None:
    own = LocalFleet(tmp_path / "own")
    x = random_inputs(bundle, 0)
    expected = next(iter(run_whole(bundle, x).values()))
    stop = threading.Event()
    answers: list[bytes] = []
    errors: list[BaseException] = []
    with serving(own, store_root) as (running, boards):
        with Dispatcher(bundle, boards, credentials=own.operator) as chain:

            def ask() -> None:
                try:
                    for answer in chain.stream(itertools.takewhile(lambda _: not stop.is_set(), itertools.repeat(x))):
                        answers.append(np.asarray(answer).tobytes())
                except BaseException as error:
                    errors.append(error)

            asking = threading.Thread(target=ask)
            asking.start()
            assert comes_true(lambda: len(answers) > 20)
            before = Credentials(own.board("board1")).pem.certificate
            with FleetDirectory.opened(tmp_path / "own") as directory:
                directory.renew(directory.names)
            assert Credentials(own.board("board1")).pem.certificate != before
            with Dispatcher(bundle, boards, credentials=own.operator) as later:  # new connections, new certificates
                assert np.asarray(later.infer(x)).tobytes() == expected
            n_then = len(answers)
            assert comes_true(lambda: len(answers) > n_then + 20)
            stop.set()
            asking.join(TIMEOUT_S)
        assert not errors
        assert set(answers) == {expected}
        assert all(any("read new credentials" in line for line in board.log) for board in running)


def test_commands_take_credentials(fleet: LocalFleet, store_root: Path) -> None:
    with serving(fleet, store_root, 1) as (running, _):
        command = [sys.executable, "-m", "dispatcher_client", "status", "--boards", running[0].address]
        done = subprocess.run(
            [*command, "--credentials", str(fleet.operator)], capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, done.stderr
        assert "until 20" in done.stdout
        done = subprocess.run([*command, "--insecure"], capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 1
        assert "plaintext was asked for" in done.stderr or "TLS" in done.stdout.replace("\n", " ")

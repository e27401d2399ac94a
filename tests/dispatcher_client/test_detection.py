"""Faults of boards are noticed within a second or so, and the error says which board and what; slow is not faulty."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from bundle import Bundle
from dispatcher_client import Dispatcher
from dispatcher_client.chain import Chain
from dispatcher_client.placement import place_in_order
from dispatcher_client.status import read_status
from examples.local_boards import LocalBoards
from fleet.errors import BoardError, BoardStalledError, BoardUnavailableError
from fleet.event_loop import run_in_loop
from fleet.inventory import Inventory
from tests.bundles import split_file
from tests.credentials import OPERATOR
from tests.dispatcher_client.whole_model import named, random_inputs, run_whole
from tests.freezing import PATIENCE_S, PATIENT, freeze
from tests.node_service.stubs import TIMEOUT_S
from tests.partitioning import sample_models
from transport.codec_setting import RAW

# Nominally 0.75; the machine may be busy.
NOTICED_S = 3.0
# Nominally 1.5.
OPENED_S = 6.0
MakeBundle = Callable[..., Bundle]


@dataclass(frozen=True)
class Noticed:
    error: BoardError
    after_s: float


def notice(chain: Dispatcher, x: object, fault: Callable[[], object]) -> Noticed:
    """Has requests in flight, brings the fault about, and waits for the error."""
    requests = [chain.submit(x) for _ in range(2)]  # type: ignore[arg-type]
    fault()
    began_s = time.monotonic()

    def until_it_breaks() -> None:
        while True:
            while requests:
                requests.pop().result(TIMEOUT_S)
            requests.append(chain.submit(x))  # type: ignore[arg-type]

    with pytest.raises(BoardError) as caught:
        until_it_breaks()
    return Noticed(caught.value, time.monotonic() - began_s)


@pytest.mark.parametrize("index", [0, 1, 2])
@pytest.mark.parametrize("fault", ["killed", "frozen"])
def test_board_that_is_gone_is_named_within_a_second(
    store_root: Path, zoo_bundle: MakeBundle, fault: str, index: int
) -> None:
    bundle = zoo_bundle("residual", "float32")
    x = random_inputs(bundle, 0)
    with LocalBoards(3, store_root) as running, Dispatcher(bundle, running.named, recovers=False) as chain:
        chain.infer(x)
        process = running.boards[index].process
        try:
            found = notice(chain, x, process.kill if fault == "killed" else lambda: freeze(process))
        finally:
            process.send_signal(signal.SIGCONT)
        assert isinstance(found.error, BoardUnavailableError)
        assert found.error.board == f"board{index + 1}"
        assert found.after_s < NOTICED_S
        if fault == "frozen":
            assert "no sign of life" in str(found.error)


@pytest.mark.parametrize("index", [0, 1])
def test_board_that_stood_still_before_is_named_or_gone_around_when_the_dispatcher_opens(
    store_root: Path, zoo_bundle: MakeBundle, index: int
) -> None:
    bundle = zoo_bundle("residual", "float32")
    x = random_inputs(bundle, 0)
    with LocalBoards(4, store_root) as running:
        inventory = Inventory(tuple(running.named), spares=("board4",))
        process = running.boards[index].process
        freeze(process)
        try:
            began_s = time.monotonic()
            with pytest.raises(BoardUnavailableError) as caught:
                Dispatcher(bundle, inventory, recovers=False).open()
            assert caught.value.board == f"board{index + 1}"
            assert time.monotonic() - began_s < OPENED_S
            with Dispatcher(bundle, inventory) as chain:
                assert f"board{index + 1}" not in chain.route
                assert named(chain, chain.infer(x)) == run_whole(bundle, x)
        finally:
            process.send_signal(signal.SIGCONT)


@pytest.mark.parametrize("index", [0, 1, 2])
@pytest.mark.parametrize("patience_s", [0.75, 2.0])
def test_board_that_stood_still_before_is_named_when_a_chain_opens(
    store_root: Path, zoo_bundle: MakeBundle, index: int, patience_s: float
) -> None:
    """Boards that wait for it say meanwhile that they live, even those that are more patient than who waits for them."""
    bundle = zoo_bundle("residual", "float32")
    arguments = ["--threads", "1", "--peer-silence-s", str(patience_s)]
    with LocalBoards(3, store_root, arguments) as running:
        with Dispatcher(bundle, running.named):
            pass
        process = running.boards[index].process
        freeze(process)
        placement = place_in_order(bundle, running.named)
        chain = Chain(placement, [RAW], credentials=OPERATOR, on_reply=lambda report: None)
        try:
            began_s = time.monotonic()
            with pytest.raises(BoardUnavailableError, match="did not finish the TLS handshake") as caught:
                run_in_loop(chain.open(30))
            assert caught.value.board == f"board{index + 1}"
            assert time.monotonic() - began_s < NOTICED_S + patience_s
        finally:
            process.send_signal(signal.SIGCONT)
            run_in_loop(chain.close())


def test_idle_chain_notices_as_well(store_root: Path, zoo_bundle: MakeBundle) -> None:
    bundle = zoo_bundle("residual", "float32")
    with LocalBoards(3, store_root) as running, Dispatcher(bundle, running.named, recovers=False) as chain:
        process = running.boards[1].process
        freeze(process)
        try:
            deadline_s, pause = time.monotonic() + NOTICED_S, threading.Event()
            while "broken" not in repr(chain) and time.monotonic() < deadline_s:
                pause.wait(0.02)
            assert "broken" in repr(chain)
        finally:
            process.send_signal(signal.SIGCONT)


def test_board_that_hesitates_for_half_a_second_is_kept(store_root: Path, zoo_bundle: MakeBundle) -> None:
    bundle = zoo_bundle("residual", "float32")
    x = random_inputs(bundle, 0)
    with LocalBoards(3, store_root) as running, Dispatcher(bundle, running.named, recovers=False) as chain:
        chain.infer(x)
        process = running.boards[1].process
        request = chain.submit(x)
        freeze(process)
        threading.Event().wait(0.5)
        process.send_signal(signal.SIGCONT)
        request.result(TIMEOUT_S)
        assert named(chain, chain.infer(x)) == run_whole(bundle, x)


@pytest.fixture(scope="module")
def counting(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """Runs for as long as its input says."""
    directory = tmp_path_factory.mktemp("counting")
    model = directory / "count_up.tflite"
    model.write_bytes(sample_models.count_up().build())
    return split_file(directory / "bundle", model, parts=1)


@pytest.fixture
def serving(counting: Bundle, store_root: Path) -> Iterator[tuple[LocalBoards, Dispatcher]]:
    with LocalBoards(1, store_root) as running:
        try:
            with Dispatcher(counting, running.named, recovers=False) as chain:
                for _ in range(3):
                    assert chain.infer(np.array([1000], np.int32)) == 1000
                yield running, chain
        finally:
            running.boards[0].process.kill()  # a run that stands still would hold up its end


def test_board_whose_run_stands_still_is_named_though_it_answers(serving: tuple[LocalBoards, Dispatcher]) -> None:
    running, chain = serving
    for_ever = np.array([2**31 - 1], np.int32)
    found = notice(chain, for_ever, lambda: None)
    assert isinstance(found.error, BoardStalledError)
    assert found.error.board == "board1"
    assert "stands still" in str(found.error)
    assert found.after_s < NOTICED_S
    # It answers: its service can say what it holds, and that its stage takes no more.
    (row,) = run_in_loop(read_status(running.named, credentials=OPERATOR, timeout_s=5))
    assert not row["error"]
    with pytest.raises(BoardStalledError, match="stands still"), Dispatcher(chain._release.bundle, running.named):
        pass


def test_stage_whose_process_was_stopped_in_the_midst_of_a_run_is_kept(counting: Bundle, store_root: Path) -> None:
    with LocalBoards(1, store_root, PATIENT) as running:
        process = running.boards[0].process
        with Dispatcher(counting, running.named, recovers=False, silence_s=PATIENCE_S) as chain:
            n, run_s = 1000, 0.0
            while run_s < 0.4:  # longer than until the look after the one that comes late
                began_s = time.monotonic()
                assert chain.infer(np.array([n], np.int32)) == n
                run_s = time.monotonic() - began_s
                n *= 1 if run_s >= 0.4 else 2
            request = chain.submit(np.array([n], np.int32))
            threading.Event().wait(run_s / 4)
            freeze(process)
            threading.Event().wait(max(3.0, 5 * run_s))
            process.send_signal(signal.SIGCONT)
            assert request.result(TIMEOUT_S) == n


def test_drain_ends_in_time_although_a_stage_stands_still(counting: Bundle, store_root: Path) -> None:
    with (
        LocalBoards(1, store_root, ["--threads", "1", "--drain-timeout-s", "1"]) as running,
        Dispatcher(counting, running.named, recovers=False) as chain,
    ):
        for _ in range(3):
            chain.infer(np.array([1000], np.int32))
        notice(chain, np.array([2**31 - 1], np.int32), lambda: None)
        began_s = time.monotonic()
        assert running.boards[0].stop() == 0
        assert time.monotonic() - began_s < 8

"""Requests that nobody waits for any more: boards drop them, and their places in the window come free then."""

from __future__ import annotations

import contextlib
import itertools
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bundle import Bundle
from dispatcher_client import Dispatcher
from dispatcher_client.errors import ReplyTimeoutError
from dispatcher_client.lane import Lane
from examples.local_boards import LocalBoard, LocalBoards
from protos.v1 import control_plane_pb2 as control
from tests.dispatcher_client.whole_model import random_inputs
from tests.freezing import PATIENCE_S, PATIENT, freeze
from tests.node_service.stubs import TIMEOUT_S, channel_to, control_stub
from tests.transport.message_stream.by_hand import comes_true

MakeBundle = Callable[..., Bundle]
WINDOW = 64


def frames(board: LocalBoard) -> int:
    """How many a board has computed since its start."""
    with channel_to(board.address) as channel:
        description = control_stub(channel).Describe(control.DescribeRequest(), timeout=TIMEOUT_S)
    return sum(stage.frames for stage in description.stages)


@contextlib.contextmanager
def frozen(board: LocalBoard) -> Iterator[None]:
    freeze(board.process)
    try:
        yield
    finally:
        board.process.send_signal(signal.SIGCONT)


@contextlib.contextmanager
def serving(
    bundle: Bundle, store_root: Path, n_boards: int, **options: Any
) -> Iterator[tuple[LocalBoards, Dispatcher]]:
    """Boards that may stand still without being given up, and a dispatcher."""
    with (
        LocalBoards(n_boards, store_root, PATIENT) as running,
        Dispatcher(bundle, running.named, silence_s=PATIENCE_S, **{"window": WINDOW, **options}) as chain,
    ):
        yield running, chain


def all_free(chain: Dispatcher) -> bool:
    return not any(chain._release.windows.outstanding)


@pytest.mark.parametrize("recovers", [False, True])
@pytest.mark.parametrize("frozen_index", [0, 2])
def test_requests_cancelled_behind_a_board_that_stood_still_are_not_all_computed(
    store_root: Path, zoo_bundle: MakeBundle, frozen_index: int, recovers: bool
) -> None:
    bundle = zoo_bundle("residual", "int8")
    x = random_inputs(bundle, 0)
    with serving(bundle, store_root, 3, recovers=recovers) as (running, chain):
        chain.infer(x)
        board = running.boards[frozen_index]
        before = frames(running.boards[2])
        with frozen(board):
            answers = [chain.submit(x) for _ in range(WINDOW)]
            assert all(answer.cancel() for answer in answers)
            held = sum(chain._release.windows.outstanding)
            # The board that stands still has some; those before it drop theirs meanwhile.
            assert held == WINDOW if frozen_index == 0 else 0 < held <= WINDOW
        assert comes_true(lambda: all_free(chain))
        # How many the board computes before it has read what came behind them, the machine's other work decides.
        assert frames(running.boards[2]) - before < WINDOW
        chain.infer(x)
        (service,) = [chain._release.service]
        assert service is not None and not service._group._open


def test_requests_whose_time_is_over_behind_a_board_that_stands_still_are_dropped_in_the_midst_of_the_chain(
    store_root: Path, zoo_bundle: MakeBundle
) -> None:
    bundle = zoo_bundle("unet", "float32", 2)
    x = random_inputs(bundle, 0)
    with serving(bundle, store_root, 2, window=12, recovers=False) as (running, chain):
        chain.infer(x)
        before = [frames(board) for board in running.boards]
        with frozen(running.boards[1]):
            began_s = time.monotonic()
            answers = [chain.submit(x, 1.5) for _ in range(12)]
            for answer in answers:
                with pytest.raises(ReplyTimeoutError, match="from the chain board1, board2"):
                    answer.result(5)
            assert time.monotonic() - began_s < 4
            assert not all_free(chain)
        assert comes_true(lambda: all_free(chain))
        computed = [frames(board) - n for board, n in zip(running.boards, before)]
        assert computed[1] < 12
        chain.infer(x)


def test_stream_that_is_left_early_is_not_computed_to_its_end(store_root: Path, zoo_bundle: MakeBundle) -> None:
    bundle = zoo_bundle("residual", "int8")
    x = random_inputs(bundle, 0)
    with serving(bundle, store_root, 3) as (running, chain):
        go_on = threading.Event()

        def source() -> Iterator[dict[str, np.ndarray]]:
            yield x
            assert go_on.wait(TIMEOUT_S)
            yield from itertools.repeat(x)

        answers = chain.stream(source())
        next(answers)
        with frozen(running.boards[0]):
            go_on.set()
            assert comes_true(lambda: sum(chain._release.windows.outstanding) == WINDOW)
            before = time.monotonic()
            answers.close()
            assert time.monotonic() - before < 1
        assert comes_true(lambda: all_free(chain))
        chain.infer(x)


def test_cancelled_requests_of_one_of_two_chains_leave_the_other_alone(store_root: Path, two_chains: Bundle) -> None:
    x = random_inputs(two_chains, 0)
    with serving(two_chains, store_root, 3, window=8, recovers=False) as (running, chain):
        with frozen(running.boards[0]):
            stuck = [chain.submit(x, chain_index=0) for _ in range(8)]
            going = [chain.submit(x, chain_index=1) for _ in range(8)]
            for answer in stuck:
                answer.cancel()
            for answer in going:
                answer.result(TIMEOUT_S)
            assert comes_true(lambda: chain._release.windows.outstanding == (8, 0))
        assert comes_true(lambda: all_free(chain))
        for index in (0, 1):
            chain.infer(x, chain_index=index)


def test_frame_of_a_batch_is_cancelled_with_the_last_of_its_inputs(store_root: Path, zoo_bundle: MakeBundle) -> None:
    bundle = zoo_bundle("residual", "int8", 3, 4)
    x = {spec.name: np.zeros((1, *spec.shape[1:]), np.int8) for spec in bundle.manifest.inputs}
    with serving(bundle, store_root, 3, window=2) as (running, chain):
        chain.infer(x)
        group = chain._release.service._group  # type: ignore[union-attr]
        with frozen(running.boards[0]):
            answers: list[Future[Any]] = [chain.submit(x) for _ in range(8)]
            assert comes_true(lambda: sum(chain._release.windows.outstanding) == 2)
            for answer in answers[:7]:
                assert answer.cancel()
            assert len(group._open) == 1  # of the second frame, whose last input somebody waits for
        answers[7].result(TIMEOUT_S)
        assert comes_true(lambda: all_free(chain))


def test_requests_that_wait_while_a_chain_is_mended_are_dropped_when_they_are_cancelled(
    store_root: Path, zoo_bundle: MakeBundle
) -> None:
    bundle = zoo_bundle("residual", "int8")
    x = random_inputs(bundle, 0)
    with LocalBoards(3, store_root) as running, Dispatcher(bundle, running.named, window=4) as chain:
        chain.infer(x)
        for board in running.boards:
            freeze(board.process)
        answers = [chain.submit(x) for _ in range(4)]
        (lane,) = chain._release.service._group._chains  # type: ignore[union-attr]
        assert isinstance(lane, Lane)
        assert comes_true(lambda: len(lane._waiting) == 4)
        for answer in answers:
            assert answer.cancel()
        assert all_free(chain) and not lane._waiting
        for board in running.boards:
            board.process.send_signal(signal.SIGCONT)
        chain.infer(x)

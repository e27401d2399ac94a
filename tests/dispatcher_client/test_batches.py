"""A bundle that was split for a batch, on real node services: single inputs, whole batches, threads, streams and failures."""

from __future__ import annotations

import itertools
import queue
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bundle import Bundle
from dispatcher_client import (
    BoardUnavailableError,
    CallbackError,
    ChainClosedError,
    Dispatcher,
    InputError,
    OptionError,
)
from dispatcher_client.bench import ReplyLog
from dispatcher_client.micro_batches import split_batch
from dispatcher_client.values import public_name
from examples.local_boards import LocalBoards
from tests.dispatcher_client.whole_model import run_whole
from tests.freezing import freeze

MakeBundle = Callable[..., Bundle]
TIMEOUT_S = 20.0
BATCH = 4
MODELS = [("residual", "int8"), ("residual", "float32"), ("two_inputs", "float16"), ("yolo_neck", "dynamic")]


def inputs_of(bundle: Bundle, count: int, seed: int = 0) -> list[dict[str, np.ndarray]]:
    """Single inputs, by tensor name, all different."""
    generator = np.random.default_rng(seed)
    found = []
    for _ in range(count):
        rows = split_batch(bundle.load_sample()[0], bundle.batch)[0]
        found.append({n: generator.permutation(x.reshape(-1)).reshape(x.shape) for n, x in rows.items()})
    return found


def answers_alone(single: Bundle, inputs: list[dict[str, np.ndarray]]) -> list[dict[str, bytes]]:
    """What the whole model says to one input at a time, without a batch and without boards."""
    return [run_whole(single, x) for x in inputs]


def as_bytes(chain: Dispatcher, answer: Any) -> dict[str, bytes]:
    answers = answer if isinstance(answer, dict) else {public_name(chain.manifest.outputs[0]): answer}
    return {name: array.tobytes() for name, array in answers.items()}


@pytest.fixture
def batched(zoo_bundle: MakeBundle) -> Bundle:
    return zoo_bundle("residual", "int8", 3, BATCH)


@pytest.mark.parametrize(("name", "mode"), MODELS)
def test_each_input_of_a_stream_gets_the_bytes_it_has_alone(
    boards: LocalBoards, zoo_bundle: MakeBundle, name: str, mode: str
) -> None:
    bundle, log = zoo_bundle(name, mode, 3, BATCH), ReplyLog()
    inputs = inputs_of(bundle, 10)
    with Dispatcher(bundle, boards.named, on_reply=log, batch_wait_ms=1e6) as chain:
        assert chain.batch == BATCH
        log.reports.clear()  # of the sample
        answers = [as_bytes(chain, answer) for answer in chain.stream(inputs)]
    assert answers == answers_alone(zoo_bundle(name, mode, 1), inputs)
    assert len({tuple(a.values()) for a in answers}) > 1
    assert len(log.reports) == 3  # two full frames, and the rest as soon as the stream has ended


def test_threads_share_frames_and_get_their_own_answers(
    boards: LocalBoards, zoo_bundle: MakeBundle, batched: Bundle
) -> None:
    inputs, log = inputs_of(batched, 40), ReplyLog()
    with Dispatcher(batched, boards.named, on_reply=log, batch_wait_ms=50) as chain, ThreadPoolExecutor(8) as pool:
        log.reports.clear()
        answers = [as_bytes(chain, answer) for answer in pool.map(chain.infer, inputs)]
    assert answers == answers_alone(zoo_bundle("residual", "int8", 1), inputs)
    assert len(log.reports) < 20


def test_whole_batch_goes_as_one_frame_and_comes_back_in_one(
    boards: LocalBoards, zoo_bundle: MakeBundle, batched: Bundle
) -> None:
    inputs, log = inputs_of(batched, BATCH), ReplyLog()
    whole = {name: np.concatenate([x[name] for x in inputs]) for name in inputs[0]}
    expected = [b"".join(a.values()) for a in answers_alone(zoo_bundle("residual", "int8", 1), inputs)]
    with Dispatcher(batched, boards.named, on_reply=log) as chain:
        log.reports.clear()
        answer = chain.infer(whole)
        assert isinstance(answer, np.ndarray)
        assert [row.tobytes() for row in answer] == expected
        mixed = list(chain.stream([whole, inputs[0], whole]))
    assert [as_bytes(chain, a) for a in mixed] == [
        as_bytes(chain, answer),
        as_bytes(chain, answer[:1]),
        as_bytes(chain, answer),
    ]
    assert len(log.reports) == 4


def test_real_numbers_and_integers_may_share_a_frame(boards: LocalBoards, batched: Bundle) -> None:
    (x,) = inputs_of(batched, 1)
    (spec,) = batched.manifest.inputs
    real = (x[spec.name].astype(np.float32) - spec.quantization.zero_point) * np.float32(spec.quantization.scale)
    with Dispatcher(batched, boards.named, batch_wait_ms=1000) as chain:
        futures = [chain.submit(x), chain.submit(real), chain.submit(x), chain.submit(real)]
        answers = [f.result(TIMEOUT_S) for f in futures]
    assert [a.dtype.name for a in answers if isinstance(a, np.ndarray)] == ["int8", "float32"] * 2
    assert answers[0].tobytes() == answers[2].tobytes()  # type: ignore[union-attr]


def test_wrong_shape_is_told_with_the_shape_of_one_input(boards: LocalBoards, batched: Bundle) -> None:
    with (
        Dispatcher(batched, boards.named) as chain,
        pytest.raises(InputError, match=r"\[3, 24, 24, 3\], expected .*\[1, 24, 24, 3\]"),
    ):
        chain.infer(np.zeros((3, 24, 24, 3), np.int8))


@pytest.mark.parametrize("wait_ms", [-1.0, float("nan"), float("inf")])
def test_wait_that_makes_no_sense_is_refused(boards: LocalBoards, batched: Bundle, wait_ms: float) -> None:
    with pytest.raises(OptionError, match="batch_wait_ms"):
        Dispatcher(batched, boards.named, batch_wait_ms=wait_ms)


def test_stream_takes_a_window_of_whole_frames(boards: LocalBoards, batched: Bundle) -> None:
    taken = 0

    def source() -> Iterator[dict[str, np.ndarray]]:
        nonlocal taken
        for x in itertools.cycle(inputs_of(batched, 3)):
            taken += 1
            yield x

    with Dispatcher(batched, boards.named, window=2, batch_wait_ms=1e6) as chain:
        stream = chain.stream(source())
        for read in range(1, 30):
            next(stream)  # with a longer wait than any test, frames leave only because they are full
            assert taken <= read + 2 * BATCH
        stream.close()


def test_close_sends_what_waits_for_a_batch_to_fill(
    boards: LocalBoards, zoo_bundle: MakeBundle, batched: Bundle
) -> None:
    inputs = inputs_of(batched, 2)
    with Dispatcher(batched, boards.named, batch_wait_ms=1e6) as chain:
        futures = [chain.submit(x) for x in inputs]
    assert [as_bytes(chain, f.result(0)) for f in futures] == answers_alone(zoo_bundle("residual", "int8", 1), inputs)
    with pytest.raises(ChainClosedError):
        chain.submit(inputs[0])
    with chain:
        chain.submit(inputs[0])


def test_chain_that_is_closed_while_threads_submit_leaves_nobody_waiting(boards: LocalBoards, batched: Bundle) -> None:
    (x,) = inputs_of(batched, 1)
    outcomes: list[object] = []
    started = threading.Barrier(5)

    def ask(chain: Dispatcher) -> None:
        started.wait(TIMEOUT_S)
        try:
            while True:
                chain.infer(x)
        except ChainClosedError as error:
            outcomes.append(error)

    chain = Dispatcher(batched, boards.named)
    chain.open()
    threads = [threading.Thread(target=ask, args=(chain,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    started.wait(TIMEOUT_S)
    chain.infer(x)
    chain.close()
    for thread in threads:
        thread.join(TIMEOUT_S)
    assert len(outcomes) == 4


def test_killed_board_ends_every_input_of_every_frame_with_its_name(store_root: Path, batched: Bundle) -> None:
    inputs = inputs_of(batched, 10)
    with LocalBoards(3, store_root) as running, Dispatcher(batched, running.named, recovers=False) as chain:
        middle = running.boards[1].process
        freeze(middle)  # so that requests are surely in flight when it dies
        futures: list[Future[Any]] = [chain.submit(x) for x in inputs]
        middle.kill()
        errors = [f.exception(TIMEOUT_S) for f in futures]
    assert all(isinstance(e, BoardUnavailableError) and e.board == "board2" for e in errors)
    assert len({id(e) for e in errors}) == len(errors)


def test_callback_of_an_input_that_a_broken_chain_refuses_cannot_wait_for_another_answer(
    store_root: Path, batched: Bundle
) -> None:
    """It runs on the thread that would have to send the other input."""
    (x,) = inputs_of(batched, 1)
    raised: queue.SimpleQueue[BaseException] = queue.SimpleQueue()

    def asks_again(chain: Dispatcher) -> None:
        try:
            chain.infer(x)
        except CallbackError as error:
            raised.put(error)

    with (
        LocalBoards(3, store_root) as running,
        Dispatcher(batched, running.named, batch_wait_ms=200, recovers=False) as chain,
    ):
        running.boards[0].process.kill()
        running.boards[0].process.wait(TIMEOUT_S)
        assert isinstance(chain.submit(x).exception(TIMEOUT_S), BoardUnavailableError)  # from now on it is known
        refused = chain.submit(x)
        refused.add_done_callback(lambda done: asks_again(chain))
        assert isinstance(refused.exception(TIMEOUT_S), BoardUnavailableError)
        assert "called from a callback" in str(raised.get(timeout=TIMEOUT_S))

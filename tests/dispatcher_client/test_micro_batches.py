"""Single inputs share frames, and each gets the answer that is its own, whatever comes between."""

from __future__ import annotations

import queue
import random
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatcher_client import BoardUnavailableError, CallbackError, ChainClosedError, ReplyTimeoutError
from dispatcher_client.deadlines import Deadline
from dispatcher_client.micro_batches import MicroBatches, is_whole_batch, single_specs, split_batch
from fleet.event_loop import require_other_thread
from protos.v1.tensor_pb2 import TensorSpec

TIMEOUT_S = 20.0
FOREVER_S = 1e6
Tensors = dict[str, np.ndarray]


class Boards:
    """Boards that answer a frame with its rows times ten: at once, or, when `hold` is set, on demand."""

    def __init__(self) -> None:
        self.frames: list[tuple[list[int], int | None]] = []
        self.hold = False
        self.held: list[tuple[Tensors, Future[Tensors]]] = []
        self.failing: Exception | None = None
        self.room = threading.Semaphore(1_000)
        self.sent = threading.Condition()

    def send(self, tensors: Tensors, chain_index: int | None, deadline: Deadline) -> Future[Tensors]:
        assert self.room.acquire(timeout=TIMEOUT_S)
        future: Future[Tensors] = Future()
        with self.sent:
            self.frames.append((tensors["x"].reshape(-1).tolist(), chain_index))
            if self.hold:
                self.held.append((tensors, future))
            self.sent.notify_all()
        if not self.hold:
            self.answer(tensors, future)
        return future

    def answer(self, tensors: Tensors, future: Future[Tensors]) -> None:
        self.room.release()
        if self.failing is not None:
            future.set_exception(self.failing)
        else:
            future.set_result({"y": tensors["x"] * 10})

    def wait_for(self, n_frames: int) -> None:
        with self.sent:
            assert self.sent.wait_for(lambda: len(self.frames) >= n_frames, TIMEOUT_S)


@contextmanager
def micro_batches(boards: Boards, batch: int, wait_s: float = FOREVER_S) -> Iterator[MicroBatches]:
    made = MicroBatches(batch, wait_s, boards.send)
    yield made
    boards.hold = False
    while boards.held:
        boards.answer(*boards.held.pop())
    assert made.close(TIMEOUT_S)


def one(number: int) -> Tensors:
    return {"x": np.full((1, 1), number)}


def submit(
    made: MicroBatches, number: int, chain_index: int | None = None, timeout_s: float = TIMEOUT_S
) -> Future[int]:
    return made.submit(one(number), lambda answer: int(answer["y"].item()), chain_index, Deadline.after(timeout_s))


def wait_until_taken(made: MicroBatches) -> None:
    with made._changed:
        assert made._changed.wait_for(lambda: not made._members, TIMEOUT_S)


def test_frame_leaves_when_it_is_full() -> None:
    boards = Boards()
    with micro_batches(boards, 3) as made:
        futures = [submit(made, n) for n in range(6)]
        assert [f.result(TIMEOUT_S) for f in futures] == [0, 10, 20, 30, 40, 50]
    assert boards.frames == [([0, 1, 2], None), ([3, 4, 5], None)]


def test_frame_leaves_when_it_has_waited_padded_with_an_input_that_fits() -> None:
    boards = Boards()
    with micro_batches(boards, 4, wait_s=0.01) as made:
        assert submit(made, 7).result(TIMEOUT_S) == 70
    assert boards.frames == [([7, 7, 7, 7], None)]


def test_flush_and_close_send_what_was_gathered() -> None:
    boards = Boards()
    with micro_batches(boards, 4) as made:
        first = submit(made, 1)
        made.flush()
        assert first.result(TIMEOUT_S) == 10
        second = submit(made, 2)
    assert second.result(TIMEOUT_S) == 20
    with pytest.raises(ChainClosedError, match="closed"):
        submit(made, 3)


def test_inputs_for_other_chains_share_no_frame_and_need_not_wait_for_one_another() -> None:
    boards = Boards()
    with micro_batches(boards, 4) as made:
        futures = [submit(made, 1), submit(made, 2), submit(made, 3, 1)]
        made.flush()
        assert [f.result(TIMEOUT_S) for f in futures] == [10, 20, 30]
    assert boards.frames == [([1, 2, 2, 2], None), ([3, 3, 3, 3], 1)]


def test_error_reaches_every_input_of_the_frame_and_no_other() -> None:
    boards = Boards()
    with micro_batches(boards, 2) as made:
        boards.failing = BoardUnavailableError("pi2", "gone")
        errors = [f.exception(TIMEOUT_S) for f in [submit(made, 1), submit(made, 2)]]
        boards.failing = None
        assert [f.result(TIMEOUT_S) for f in [submit(made, 3), submit(made, 4)]] == [30, 40]
    assert [str(e) for e in errors] == ["board pi2: gone"] * 2
    assert all(isinstance(e, BoardUnavailableError) and e.board == "pi2" for e in errors)
    assert errors[0] is not errors[1]


def test_frame_that_cannot_be_sent_fails_its_inputs_and_the_next_is_sent() -> None:
    boards = Boards()
    calls = iter([ChainClosedError("the chain was closed."), None])

    def send(tensors: Tensors, chain_index: int | None, deadline: Deadline) -> Future[Tensors]:
        error = next(calls)
        if error is not None:
            raise error
        return boards.send(tensors, chain_index, deadline)

    made = MicroBatches(2, FOREVER_S, send)
    failed, answered = [submit(made, n) for n in (1, 2)], [submit(made, n) for n in (3, 4)]
    for future in failed:
        with pytest.raises(ChainClosedError, match="was closed"):
            future.result(TIMEOUT_S)
    assert [f.result(TIMEOUT_S) for f in answered] == [30, 40]
    assert made.close(TIMEOUT_S)


def test_callback_of_an_input_that_could_not_be_sent_may_not_wait_for_another() -> None:
    asked, may_fail = threading.Event(), threading.Event()
    told: Future[None] = Future()

    def send(tensors: Tensors, chain_index: int | None, deadline: Deadline) -> Future[Tensors]:
        asked.set()
        assert may_fail.wait(TIMEOUT_S)
        raise BoardUnavailableError("pi2", "gone")

    def asks_again(done: Future[int]) -> None:
        try:
            require_other_thread("infer")
        except CallbackError as error:
            told.set_exception(error)

    made = MicroBatches(1, FOREVER_S, send)
    failed = submit(made, 1)
    assert asked.wait(TIMEOUT_S)
    failed.add_done_callback(asks_again)
    may_fail.set()
    assert isinstance(told.exception(TIMEOUT_S), CallbackError)
    assert made.close(TIMEOUT_S)


def test_answer_that_cannot_be_used_fails_its_input_alone() -> None:
    boards = Boards()
    with micro_batches(boards, 2) as made:
        good = submit(made, 5)
        bad = made.submit(one(0), lambda answer: 1 // int(answer["y"].item()), None, Deadline.after(TIMEOUT_S))
        assert good.result(TIMEOUT_S) == 50
        assert isinstance(bad.exception(TIMEOUT_S), ZeroDivisionError)


def test_cancelled_input_is_left_out_and_a_frame_of_such_is_not_sent() -> None:
    boards = Boards()
    with micro_batches(boards, 3) as made:
        cancelled, kept = submit(made, 1), submit(made, 2)
        assert cancelled.cancel()
        made.flush()
        assert kept.result(TIMEOUT_S) == 20
        assert submit(made, 3).cancel()
        made.flush()
        wait_until_taken(made)
        assert [f.result(TIMEOUT_S) for f in [submit(made, n) for n in (4, 5, 6)]] == [40, 50, 60]
    assert [rows for rows, _ in boards.frames] == [[2, 2, 2], [4, 5, 6]]


def test_input_cancelled_on_its_way_disturbs_no_other() -> None:
    boards = Boards()
    boards.hold = True
    with micro_batches(boards, 2) as made:
        on_its_way, other = submit(made, 1), submit(made, 2)
        boards.wait_for(1)
        assert on_its_way.cancel()
        boards.answer(*boards.held.pop())
        assert other.result(TIMEOUT_S) == 20
        boards.failing = BoardUnavailableError("pi1", "gone")
        on_its_way, other = submit(made, 1), submit(made, 2)
        boards.wait_for(2)
        assert on_its_way.cancel()
        boards.answer(*boards.held.pop())
        assert isinstance(other.exception(TIMEOUT_S), BoardUnavailableError)


def test_inputs_wait_for_room_and_say_so_when_there_is_none() -> None:
    boards = Boards()
    boards.hold, boards.room = True, threading.Semaphore(1)
    with micro_batches(boards, 2) as made:
        futures = [submit(made, n) for n in range(4)]  # a frame on its way, and one that waits for room
        boards.wait_for(1)
        wait_until_taken(made)  # the sender holds the second frame
        futures += [submit(made, n) for n in (4, 5)]
        with pytest.raises(ReplyTimeoutError, match="stayed full"):
            submit(made, 9, timeout_s=0.0).result(0)
        boards.hold = False
        boards.answer(*boards.held.pop())
        assert [f.result(TIMEOUT_S) for f in futures] == [0, 10, 20, 30, 40, 50]


def test_input_whose_time_is_over_ends_alone_wherever_it_waits() -> None:
    """In the frame in the making, in one that waits for room, and in one that is on its way."""
    boards = Boards()
    boards.hold, boards.room = True, threading.Semaphore(1)
    with micro_batches(boards, 2) as made:
        on_its_way = [submit(made, 0, timeout_s=0.2), submit(made, 1)]
        boards.wait_for(1)
        waits_for_room = [submit(made, 2, timeout_s=0.2), submit(made, 3)]
        wait_until_taken(made)
        gathered = [submit(made, 4, timeout_s=0.2)]
        for late, *_ in (on_its_way, waits_for_room, gathered):
            assert isinstance(late.exception(TIMEOUT_S), ReplyTimeoutError)
        gathered.append(submit(made, 5))
        boards.hold = False
        boards.answer(*boards.held.pop())
        assert [f[1].result(TIMEOUT_S) for f in (on_its_way, waits_for_room, gathered)] == [10, 30, 50]
        assert not made._open
    assert [rows for rows, _ in boards.frames] == [[0, 1], [2, 3], [5, 5]]


def test_frame_may_wait_as_long_as_the_most_patient_of_its_inputs() -> None:
    asked: queue.SimpleQueue[Deadline] = queue.SimpleQueue()

    def send(tensors: Tensors, chain_index: int | None, deadline: Deadline) -> Future[Tensors]:
        asked.put(deadline)
        return boards.send(tensors, chain_index, deadline)

    boards = Boards()
    made = MicroBatches(3, FOREVER_S, send)
    for timeout_s in (20.0, 40.0, 30.0):
        submit(made, 1, timeout_s=timeout_s)
    assert asked.get(timeout=TIMEOUT_S).timeout_s == 40
    assert made.close(TIMEOUT_S)


@given(
    batch=st.integers(2, 5),
    numbers=st.lists(st.lists(st.integers(0, 999), max_size=12), min_size=1, max_size=4),
    seed=st.integers(0, 2**16),
)
def test_threads_get_their_own_answers_and_keep_their_order(batch: int, numbers: list[list[int]], seed: int) -> None:
    boards = Boards()
    generator = random.Random(seed)
    chosen = [[generator.choice([None, None, 1]) for _ in own] for own in numbers]
    answers: list[list[int]] = [[] for _ in numbers]
    with micro_batches(boards, batch, wait_s=0.001) as made:

        def run(index: int) -> None:
            futures = [submit(made, n, c) for n, c in zip(numbers[index], chosen[index])]
            answers[index] = [f.result(TIMEOUT_S) for f in futures]

        threads = [threading.Thread(target=run, args=(index,)) for index in range(len(numbers))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(TIMEOUT_S)
    assert answers == [[10 * n for n in own] for own in numbers]
    assert all(len(rows) == batch for rows, _ in boards.frames)
    n_inputs = sum(map(len, numbers))
    assert -(-n_inputs // batch) <= len(boards.frames) <= n_inputs


def test_what_counts_as_a_whole_batch() -> None:
    four, single = np.zeros((4, 2)), np.zeros((1, 2))
    assert is_whole_batch(four, 4)
    assert is_whole_batch({"a": four, "b": four}, 4)
    assert not is_whole_batch(single, 4)
    assert not is_whole_batch({"a": four, "b": single}, 4)
    assert not is_whole_batch({"a": [1, 2, 3, 4]}, 4)  # type: ignore[dict-item]


def test_specs_of_one_input() -> None:
    specs = [TensorSpec(name="a", shape=[4, 3]), TensorSpec(name="b", shape=[8])]
    assert [list(s.shape) for s in single_specs(specs, 4)] == [[1, 3], [2]]
    assert single_specs([TensorSpec(name="scalar")], 1) == [TensorSpec(name="scalar")]
    assert [list(s.shape) for s in specs] == [[4, 3], [8]]


def test_rows_are_split_in_order() -> None:
    rows = split_batch({"a": np.arange(6).reshape(6, 1), "b": np.arange(3)}, 3)
    assert [(r["a"].ravel().tolist(), r["b"].tolist()) for r in rows] == [([0, 1], [0]), ([2, 3], [1]), ([4, 5], [2])]

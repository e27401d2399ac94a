"""Streams keep their inputs' order whatever order the answers come in."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator
from concurrent.futures import Future

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatcher_client.answer_stream import stream_in_order
from dispatcher_client.windows import Slot, Windows, least_outstanding

TIMEOUT_S = 20


class Echo:
    """Chains that answer an input with itself, in the order that `turns` says: each number picks one that is waiting."""

    def __init__(self, windows: Windows, turns: Iterator[int]) -> None:
        self._windows = windows
        self._turns = turns
        self._waiting: list[tuple[Slot, int, Future[int]]] = []
        self.failing: set[int] = set()

    def submit(self, value: int) -> Future[int]:
        """Takes room; when there is none, answers somebody first."""
        while (slot := self._windows.take(self._choose, 0)) is None:
            self.answer_one()
        future: Future[int] = Future()
        self._waiting.append((slot, value, future))
        if value % 3 == 0:
            self.answer_one()
        return future

    def answer_one(self) -> None:
        slot, value, future = self._waiting.pop(next(self._turns) % len(self._waiting))
        self._windows.give_back(slot, answered=value not in self.failing)
        if value in self.failing:
            future.set_exception(ZeroDivisionError(value))
        else:
            future.set_result(value)

    def answer_all(self) -> None:
        while self._waiting:
            self.answer_one()

    def _choose(self, outstanding: object) -> int | None:
        sizes = self._windows.sizes
        return least_outstanding(self._windows.outstanding, sizes, range(len(sizes)))


def endless(numbers: list[int]) -> Iterator[int]:
    return itertools.cycle(numbers)


@given(
    st.lists(st.integers(1, 4), min_size=1, max_size=3),
    st.lists(st.integers(0, 10), min_size=1, max_size=20),
    st.integers(0, 40),
)
def test_answers_come_in_the_inputs_order(sizes: list[int], turns: list[int], count: int) -> None:
    windows = Windows(sizes)
    echo = Echo(windows, endless(turns))

    def inputs() -> Iterator[int]:
        yield from range(count)
        echo.answer_all()  # the source ends: what is left is answered

    # Room for all, so that the source reaches its end before anything is read.
    windows.room_ahead = lambda: count + 1  # type: ignore[method-assign]
    assert list(stream_in_order(inputs(), echo.submit, windows)) == list(range(count))


def test_error_comes_at_the_place_of_its_input() -> None:
    windows = Windows([4])
    echo = Echo(windows, endless([0]))
    echo.failing = {2}

    def inputs() -> Iterator[int]:
        yield from range(4)
        echo.answer_all()

    windows.room_ahead = lambda: 9  # type: ignore[method-assign]
    stream = stream_in_order(inputs(), echo.submit, windows)
    assert [next(stream), next(stream)] == [0, 1]
    with pytest.raises(ZeroDivisionError):
        next(stream)


def test_stream_that_is_left_early_takes_no_more_inputs() -> None:
    windows = Windows([1])
    taken: list[int] = []

    def inputs() -> Iterator[int]:
        for value in itertools.count():
            taken.append(value)
            yield value

    def submit(value: int) -> Future[int]:
        future: Future[int] = Future()
        future.set_result(value)
        return future

    stream = stream_in_order(inputs(), submit, windows)
    assert next(stream) == 0
    stream.close()
    for feeder in [thread for thread in threading.enumerate() if thread.name == "boardline-stream"]:
        feeder.join(TIMEOUT_S)
        assert not feeder.is_alive()
    assert len(taken) <= 2

"""Deadlines pass once, in order, and not when they were cancelled; one thread watches them, and ends."""

from __future__ import annotations

import queue
import random
import threading
import time
from collections.abc import Iterator

import pytest

from dispatcher_client.deadlines import Deadline, Deadlines

LATER_S = 1000.0


class Watched:
    """Deadlines, and what has passed."""

    def __init__(self) -> None:
        self.passed: queue.SimpleQueue[int] = queue.SimpleQueue()
        self.deadlines = Deadlines(self.passed.put)

    def next(self) -> int:
        return self.passed.get(timeout=10)


@pytest.fixture
def watched() -> Iterator[Watched]:
    found = Watched()
    yield found
    found.deadlines.close()
    thread = found.deadlines._thread
    if thread is not None:
        thread.join(10)
        assert not thread.is_alive()


def test_deadlines_pass_in_their_order_however_they_were_set(watched: Watched) -> None:
    keys = list(range(50))
    random.Random(3).shuffle(keys)
    began_s = time.monotonic()
    for key in keys:
        watched.deadlines.set(key, Deadline(1.0, began_s + 0.2 + key * 1e-3))
    assert [watched.next() for _ in keys] == sorted(keys)
    assert time.monotonic() - began_s >= 0.2


def test_earlier_deadline_wakes_the_thread_that_sleeps_for_a_later_one(watched: Watched) -> None:
    watched.deadlines.set(1, Deadline.after(LATER_S))
    watched.deadlines.set(2, Deadline.after(0.02))
    assert watched.next() == 2


def test_deadline_that_is_cancelled_never_passes(watched: Watched) -> None:
    for key in range(100):
        watched.deadlines.set(key, Deadline.after(0.05))
        watched.deadlines.cancel(key)
    watched.deadlines.cancel(12345)
    watched.deadlines.set(100, Deadline.after(0.1))
    assert watched.next() == 100
    assert watched.passed.empty()


def test_deadlines_behind_the_one_that_is_cancelled_pass(watched: Watched) -> None:
    watched.deadlines.set(1, Deadline.after(0.05))
    watched.deadlines.set(2, Deadline.after(0.06))
    watched.deadlines.cancel(1)
    assert watched.next() == 2


def test_cancelled_deadlines_are_not_kept(watched: Watched) -> None:
    for key in range(1000):
        watched.deadlines.set(key, Deadline.after(LATER_S))
        watched.deadlines.cancel(key)
    assert watched.deadlines._heap == []
    assert not watched.deadlines._live


def test_what_is_left_of_a_deadline_is_what_any_wait_takes() -> None:
    assert 9 < Deadline.after(10).left_s <= 10
    for passed in (0.0, -5.0):
        assert Deadline.after(passed).left_s == 0
    for endless in (float("inf"), 1e15):
        assert threading.Lock().acquire(timeout=Deadline.after(endless).left_s)


@pytest.mark.parametrize("timeout_s", [float("inf"), 1e15])
def test_deadline_may_never_come(watched: Watched, timeout_s: float) -> None:
    watched.deadlines.set(1, Deadline.after(timeout_s))
    watched.deadlines.set(2, Deadline.after(0.01))
    assert watched.next() == 2
    watched.deadlines.set(3, Deadline.after(0.01))
    assert watched.next() == 3


def test_nothing_passes_after_the_close(watched: Watched) -> None:
    watched.deadlines.set(1, Deadline.after(0.05))
    watched.deadlines.close()
    watched.deadlines.set(2, Deadline.after(0.0))
    thread = watched.deadlines._thread
    assert thread is not None
    thread.join(10)
    assert watched.passed.empty()


def test_callback_may_set_cancel_and_close() -> None:
    done = threading.Event()

    def on_expiry(key: int) -> None:
        deadlines.cancel(key)
        if key < 3:
            deadlines.set(key + 1, Deadline.after(0))
        else:
            deadlines.close()
            done.set()

    deadlines = Deadlines(on_expiry)
    deadlines.set(1, Deadline.after(0))
    assert done.wait(10)


def test_many_threads_set_and_cancel(watched: Watched) -> None:
    def work(first: int) -> None:
        for key in range(first, first + 300):
            watched.deadlines.set(key, Deadline.after(0.01 if key % 10 == 0 else LATER_S))
            if key % 10:
                watched.deadlines.cancel(key)

    threads = [threading.Thread(target=work, args=(n * 300,)) for n in range(4)]
    for thread in threads:
        thread.start()
    assert sorted(watched.next() for _ in range(120)) == list(range(0, 1200, 10))
    for thread in threads:
        thread.join()
    assert watched.passed.empty()

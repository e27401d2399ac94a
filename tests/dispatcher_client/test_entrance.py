"""Whoever came in keeps what served then."""

from __future__ import annotations

import threading

import pytest

from dispatcher_client.deadlines import Deadline
from dispatcher_client.entrance import Entrance
from dispatcher_client.errors import ReplyTimeoutError
from tests.node_service.stubs import TIMEOUT_S


def test_entrance_gives_what_serves_and_nothing_before_and_after() -> None:
    entrance: Entrance[str] = Entrance()
    with entrance.enter(Deadline.after(1)) as current:
        assert current is None
    assert entrance.exchange("one") is None
    with entrance.enter(Deadline.after(1)) as current:
        assert current == entrance.current == "one"
    assert entrance.exchange(None) == "one"


def test_exchange_is_over_when_all_have_left() -> None:
    entrance: Entrance[str] = Entrance()
    entrance.exchange("one")
    left = threading.Event()

    def wait() -> None:
        entrance.wait_until_left("one")
        left.set()

    with entrance.enter(Deadline.after(1)), entrance.enter(Deadline.after(1)):
        entrance.exchange("two")
        waiting = threading.Thread(target=wait)
        waiting.start()
        with entrance.enter(Deadline.after(1)) as current:
            assert current == "two"
        assert not left.wait(0.05)
    assert left.wait(TIMEOUT_S)
    waiting.join()


def test_shut_entrance_has_callers_wait_until_their_deadline() -> None:
    entrance: Entrance[str] = Entrance()
    came = threading.Event()

    def come() -> None:
        with entrance.enter(Deadline.after(TIMEOUT_S)):
            came.set()

    with entrance.shut():
        with (
            pytest.raises(ReplyTimeoutError, match=r"within 0\.01 s while a version"),
            entrance.enter(Deadline.after(0.01)),
        ):
            pass
        caller = threading.Thread(target=come)
        caller.start()
        assert not came.wait(0.05)
    assert came.wait(TIMEOUT_S)
    caller.join()

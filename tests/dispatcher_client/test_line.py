"""Requests wait in a line for a thread that may block, and leave it when nobody waits for them."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import Future

import pytest

from dispatcher_client.deadlines import Deadline
from dispatcher_client.door import Door
from dispatcher_client.errors import ChainClosedError, OverloadedError, ReplyTimeoutError
from dispatcher_client.line import Line
from tests.transport.message_stream.by_hand import comes_true

_TIMEOUT_S = 10


class _Sender:
    """Blocks until it may go on, as a window does that is full."""

    def __init__(self) -> None:
        self.may_go_on = threading.Event()
        self.sent: list[int] = []
        self.replies: dict[int, Future[str]] = {}

    def send(self, number: int) -> Future[str]:
        assert self.may_go_on.wait(_TIMEOUT_S)
        self.sent.append(number)
        self.replies[number] = Future()
        return self.replies[number]


@pytest.fixture
def sender() -> _Sender:
    return _Sender()


@pytest.fixture
def door() -> Door:
    return Door(2)


@pytest.fixture
def line(door: Door, sender: _Sender) -> Iterator[Line]:
    line = Line(1, door, lambda: 0)
    yield line
    sender.may_go_on.set()
    line.close()
    line.wait_until_left()


def _long() -> Deadline:
    return Deadline.after(60)  # from now: when the tests were collected is minutes ago


def _join(line: Line, sender: _Sender, number: int, deadline: Deadline | None = None, **options: bool) -> Future[str]:
    return line.join(lambda: sender.send(number), deadline or _long(), **options)


def _held(line: Line, sender: _Sender, door: Door) -> Future[str]:
    """A first request, which the only thread is at."""
    answer = _join(line, sender, 0)
    assert comes_true(lambda: door.n_waiting == 0)
    return answer


def test_requests_are_sent_in_order_and_each_answer_is_its_own(line: Line, sender: _Sender) -> None:
    answers = [_join(line, sender, number, is_counted=False) for number in range(5)]
    sender.may_go_on.set()
    assert comes_true(lambda: len(sender.replies) == 5)
    assert sender.sent == [0, 1, 2, 3, 4]
    for number in reversed(range(5)):
        sender.replies[number].set_result(str(number))
    assert [answer.result(_TIMEOUT_S) for answer in answers] == ["0", "1", "2", "3", "4"]


def test_who_cancels_in_the_line_is_never_sent_and_makes_room_for_another(
    line: Line, sender: _Sender, door: Door
) -> None:
    _held(line, sender, door)
    waiting = [_join(line, sender, number) for number in (1, 2)]
    with pytest.raises(OverloadedError, match="2 requests wait"):
        _join(line, sender, 3)
    assert waiting[0].cancel()
    assert door.n_waiting == 1
    _join(line, sender, 4)
    sender.may_go_on.set()
    assert comes_true(lambda: sender.sent == [0, 2, 4])


def test_who_may_find_room_is_not_refused(sender: _Sender) -> None:
    line = Line(1, Door(0), lambda: 2)
    answers = [_join(line, sender, number) for number in range(2)]
    sender.may_go_on.set()
    assert comes_true(lambda: len(sender.replies) == 2)
    line.close()
    line.wait_until_left()
    assert not any(answer.done() for answer in answers)  # they are sent, and have replies to come


def test_time_is_over_in_the_line_while_the_thread_is_held_up(line: Line, sender: _Sender, door: Door) -> None:
    _held(line, sender, door)
    late = _join(line, sender, 1, Deadline.after(0.05))
    with pytest.raises(ReplyTimeoutError, match=r"0.05 s because the window stayed full"):
        late.result(_TIMEOUT_S)
    assert door.n_waiting == 0
    sender.may_go_on.set()
    assert comes_true(lambda: sender.sent == [0])


def test_answer_that_is_cancelled_cancels_what_was_sent(line: Line, sender: _Sender, door: Door) -> None:
    sender.may_go_on.set()
    answers = [_join(line, sender, number) for number in range(2)]
    assert comes_true(lambda: len(sender.replies) == 2)
    assert answers[1].cancel()
    assert comes_true(sender.replies[1].cancelled)
    assert not sender.replies[0].cancelled()


def test_request_that_is_cancelled_while_it_is_being_sent_is_cancelled_then(
    line: Line, sender: _Sender, door: Door
) -> None:
    held = _held(line, sender, door)
    assert held.cancel()
    sender.may_go_on.set()
    assert comes_true(lambda: 0 in sender.replies and sender.replies[0].cancelled())


def test_what_sending_or_the_reply_raises_is_the_answers(line: Line, sender: _Sender) -> None:
    def refuse() -> Future[str]:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        line.join(refuse, _long()).result(_TIMEOUT_S)
    sender.may_go_on.set()
    answer = _join(line, sender, 0)
    assert comes_true(lambda: 0 in sender.replies)
    sender.replies[0].set_exception(KeyError("reply"))
    with pytest.raises(KeyError, match="reply"):
        answer.result(_TIMEOUT_S)


def test_line_that_is_closed_ends_who_waits_and_takes_nobody(line: Line, sender: _Sender, door: Door) -> None:
    held = _held(line, sender, door)
    waiting = _join(line, sender, 1)
    line.close()
    with pytest.raises(ChainClosedError, match="before the request was sent"):
        waiting.result(_TIMEOUT_S)
    assert door.n_waiting == 0
    with pytest.raises(ChainClosedError, match="was closed"):
        _join(line, sender, 2)
    assert not held.done()

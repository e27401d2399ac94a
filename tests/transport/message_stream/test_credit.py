"""Flow control against a model of both ends."""

from __future__ import annotations

from collections import deque

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.transport.message_stream.by_hand import ended, in_thread
from transport.errors import StreamBrokenError
from transport.message_stream.credit import ReceiveCredit, SendCredit
from transport.message_stream.wire import DEFAULT_WINDOW_BYTES, MAX_WINDOW_BYTES, PREFIX_BYTES

FIRST = 2**17


class Receiver:
    """ReceiveCredit, a peer that sends all it may, and an application that takes when it is told to."""

    def __init__(self) -> None:
        self.credit = ReceiveCredit(FIRST)
        self.window = FIRST
        self.connection = MAX_WINDOW_BYTES
        self.queued: deque[int] = deque()
        self.most_queued = 0

    def send(self, size: int) -> bool:
        """Whether the peer could send a whole message."""
        left = size + PREFIX_BYTES
        announced = False
        while left:
            n = min(left, self.window, self.connection, 2**24)
            if n == 0:
                return False
            self.window -= n
            self.connection -= n
            self.connection += self.credit.spend(n)
            left -= n
            if not announced and size + PREFIX_BYTES - left >= PREFIX_BYTES:
                announced = True
                self.window += self.credit.expect(size)
        self.queued.append(size)
        self.most_queued = max(self.most_queued, sum(self.queued))
        return True

    def take(self) -> None:
        self.window += self.credit.give_back(self.queued.popleft() + PREFIX_BYTES)
        assert 0 <= self.window <= MAX_WINDOW_BYTES


SIZES = st.one_of(st.integers(0, 100), st.integers(0, 2**20), st.integers(0, 2**28), st.integers(0, 2**30))


@given(st.lists(st.tuples(SIZES, st.integers(0, 4))))
def test_peer_may_send_a_whole_message_whenever_all_is_taken(script: list[tuple[int, int]]) -> None:
    receiver, largest = Receiver(), FIRST
    for size, taken in script:
        largest = max(largest, size + PREFIX_BYTES)
        for _ in range(min(taken, len(receiver.queued))):
            receiver.take()
        if not receiver.queued or receiver.window >= size + PREFIX_BYTES:
            assert receiver.send(size)
    assert receiver.most_queued <= 3 * largest


@given(st.integers(0, 2**28))
def test_three_messages_wait_and_no_fourth_is_taken(size: int) -> None:
    receiver = Receiver()
    for _ in range(3):
        assert receiver.send(size)
    if size > FIRST:
        assert not receiver.send(size)


def test_receive_credit_refuses_what_was_not_allowed() -> None:
    with pytest.raises(StreamBrokenError, match="flow control"):
        ReceiveCredit(10).spend(11)


def test_receive_credit_gives_the_connections_window_back_before_it_is_spent() -> None:
    credit, allowed = ReceiveCredit(FIRST), MAX_WINDOW_BYTES
    for _ in range(1000):
        allowed -= 2**24
        assert allowed >= 0
        allowed += credit.spend(2**24, of_stream=False)


def test_send_credit_is_the_lesser_of_stream_and_connection() -> None:
    credit = SendCredit()
    credit.give(100, to_stream=True)
    assert credit.take(2**20, waits=False) == DEFAULT_WINDOW_BYTES
    assert credit.take(1, waits=False) == 0
    credit.give(30, to_stream=False)
    assert credit.take(40, waits=False) == 30


def test_send_credit_goes_below_zero_with_a_smaller_setting_and_comes_back() -> None:
    credit = SendCredit()
    credit.give(2**20, to_stream=False)
    assert credit.take(60_000, waits=False) == 60_000
    credit.set_initial(1000)
    assert credit.take(1, waits=False) == 0
    credit.give(59_000, to_stream=True)
    assert credit.take(1, waits=False) == 0
    credit.give(7, to_stream=True)
    assert credit.take(100, waits=False) == 7


@pytest.mark.parametrize("increment", [0, -1, MAX_WINDOW_BYTES])
@pytest.mark.parametrize("to_stream", [True, False])
def test_send_credit_refuses_what_http2_does_not_allow(increment: int, to_stream: bool) -> None:
    with pytest.raises(StreamBrokenError, match="window update"):
        SendCredit().give(increment, to_stream=to_stream)


@pytest.mark.parametrize("window", [-1, MAX_WINDOW_BYTES + 1])
def test_send_credit_refuses_a_setting_out_of_range(window: int) -> None:
    with pytest.raises(StreamBrokenError, match="asked for a window"):
        SendCredit().set_initial(window)


def test_send_credit_refuses_a_setting_that_raises_the_window_too_far() -> None:
    credit = SendCredit()
    credit.give(1000, to_stream=True)
    with pytest.raises(StreamBrokenError, match="raised the window"):
        credit.set_initial(MAX_WINDOW_BYTES)


def test_who_waits_for_credit_is_woken_by_the_end() -> None:
    credit, errors = SendCredit(), []

    def work() -> None:
        credit.take(DEFAULT_WINDOW_BYTES, waits=True)
        try:
            credit.take(1, waits=True)
        except StreamBrokenError as error:
            errors.append(str(error))

    thread = in_thread(work)
    credit.end(StreamBrokenError("it is gone"))
    assert ended(thread)
    assert errors in (["it is gone"], [])

"""What the system tells of a connection is what happened on it."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator

import pytest

from tests.transport.message_stream.by_hand import comes_true, in_thread, tcp_pair
from transport.message_stream import tcp_info
from transport.message_stream.tcp_info import LinkUsage, acked_bytes, given_bytes, link_usage

_MB = 10**6
Pair = tuple[socket.socket, socket.socket]


@pytest.fixture
def pair() -> Iterator[Pair]:
    here, there = tcp_pair(2**16)
    with here, there:
        yield here, there


def usage_of(sock: socket.socket) -> LinkUsage:
    usage = link_usage(sock)
    assert usage is not None
    return usage


def take(sock: socket.socket, n_bytes: int) -> None:
    while n_bytes:
        n_bytes -= len(sock.recv(min(n_bytes, 2**16)))


def fill(sock: socket.socket) -> int:
    """Sends until the system takes no more; how many bytes that were."""
    sent = 0
    with contextlib.suppress(BlockingIOError):
        while True:
            sent += sock.send(bytes(2**16), socket.MSG_DONTWAIT)
    return sent


def test_acknowledged_bytes_are_those_that_the_other_side_took(pair: Pair) -> None:
    here, there = pair
    before = acked_bytes(here)
    taking = in_thread(lambda: take(there, _MB))
    here.sendall(bytes(_MB))
    taking.join(10)
    assert comes_true(lambda: acked_bytes(here) == before + _MB)
    assert usage_of(here).acked_bytes == before + _MB
    assert acked_bytes(there) <= 1  # each direction has its own; a connection's beginning counts as a byte


def test_bytes_that_the_other_side_has_no_room_for_are_not_acknowledged(pair: Pair) -> None:
    here, there = pair
    sent = fill(here)
    assert acked_bytes(here) < sent
    take(there, sent)
    assert comes_true(lambda: acked_bytes(here) >= sent)


def test_given_bytes_are_acknowledged_once_the_other_side_took_them(pair: Pair) -> None:
    here, there = pair
    sent = fill(here)
    given = given_bytes(here)
    assert given is not None
    assert given >= sent
    assert acked_bytes(here) < given
    take(there, sent)
    assert comes_true(lambda: acked_bytes(here) == given)


def test_link_is_busy_while_bytes_are_on_their_way_and_idle_otherwise(pair: Pair) -> None:
    here, there = pair
    before = usage_of(here)

    def were_on_their_way() -> bool:
        """Not if the receiver waited for a core all the time: then it was busy, and the link was not."""
        n_bytes = acked_bytes(here) + 50 * _MB
        taking = in_thread(lambda: take(there, 50 * _MB))
        here.sendall(bytes(50 * _MB))
        taking.join(20)
        assert comes_true(lambda: acked_bytes(here) >= n_bytes)
        return usage_of(here).busy_s > before.busy_s

    assert comes_true(were_on_their_way, 60)
    after = usage_of(here)
    threading.Event().wait(0.3)
    assert usage_of(here) == after


def test_time_in_which_the_receiver_takes_nothing_is_not_the_links(pair: Pair) -> None:
    here, _ = pair
    fill(here)
    threading.Event().wait(0.2)  # the last bytes that fit have come
    before = usage_of(here)
    threading.Event().wait(0.8)
    assert usage_of(here).busy_s - before.busy_s < 0.4


def test_nothing_is_known_of_a_closed_connection(pair: Pair) -> None:
    here, _ = pair
    here.close()
    assert acked_bytes(here) == 0
    assert given_bytes(here) is None
    assert link_usage(here) is None


@pytest.mark.parametrize(("info_bytes", "knows_acked"), [(104, False), (128, True), (168, True), (176, True)])
def test_older_systems_tell_less(
    pair: Pair, monkeypatch: pytest.MonkeyPatch, info_bytes: int, knows_acked: bool
) -> None:
    """Their struct is the beginning of today's, and so is what the system gives to who has less room for it."""
    here, there = pair
    here.sendall(b"x" * 100)
    take(there, 100)
    assert comes_true(lambda: acked_bytes(here) >= 100)
    monkeypatch.setattr(tcp_info, "_INFO_BYTES", info_bytes)
    assert (acked_bytes(here) >= 100) is knows_acked
    assert (given_bytes(here) is not None) is knows_acked
    assert link_usage(here) is None


def test_receive_window_is_what_a_peer_may_send_unread() -> None:
    here, there = tcp_pair(2**16)
    with here, there:
        window_bytes = tcp_info.receive_window_bytes(here)
        assert 2**12 < window_bytes <= 2**18
        here.close()
        assert tcp_info.receive_window_bytes(here) == 0

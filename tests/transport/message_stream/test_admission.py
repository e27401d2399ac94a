"""Who is taken, who is cut and who is refused; no sockets."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from transport.errors import NoRoomError
from transport.message_stream.admission import Admission, ListenerLimits, origin_of


@dataclass(eq=False)
class Comer:
    origin: str
    has_spoken: bool = False


LIMITS = ListenerLimits(max_streams=4, max_streams_per_address=2, max_new=3, arrivals=100, arrivals_per_s=None)


def stream(admission: Admission[Comer], origin: str) -> Comer:
    comer = Comer(origin)
    admission.arrive(comer)
    admission.admit(comer)
    return comer


def test_address_has_its_share_of_the_streams_and_others_have_theirs() -> None:
    admission = Admission[Comer](LIMITS)
    first, _ = stream(admission, "a"), stream(admission, "a")
    with pytest.raises(NoRoomError, match=r"2 streams from a are open.*--max-streams-per-address"):
        stream(admission, "a")
    stream(admission, "b")
    stream(admission, "c")
    with pytest.raises(NoRoomError, match=r"4 streams are open.*--max-streams"):
        stream(admission, "d")
    admission.leave(first)
    stream(admission, "d")


def test_half_of_the_streams_are_for_one_address_unless_said_otherwise() -> None:
    assert (ListenerLimits(max_streams=10).share, ListenerLimits(max_streams=1).share) == (5, 1)


def test_oldest_new_connection_of_the_busiest_address_is_cut_for_the_next() -> None:
    admission = Admission[Comer](LIMITS)
    good = Comer("good")
    assert admission.arrive(good) is None
    flood = [Comer("bad") for _ in range(500)]
    cut = [admission.arrive(comer) for comer in flood]
    assert cut[:2] == [None, None]
    assert cut[2:] == flood[:-2]
    admission.admit(good)
    with pytest.raises(NoRoomError, match="cut for a newer one"):
        admission.admit(flood[0])


def test_who_has_said_nothing_is_cut_before_who_has() -> None:
    admission = Admission[Comer](LIMITS)
    speaking = [Comer("a", has_spoken=True) for _ in range(2)]
    for comer in speaking:
        admission.arrive(comer)
    silent = [Comer("a") for _ in range(50)]
    assert [admission.arrive(comer) for comer in silent][1:] == silent[:-1]
    speakers = [Comer("a", has_spoken=True) for _ in range(2)]
    assert [admission.arrive(comer) for comer in speakers] == [silent[-1], speaking[0]]


def test_streams_are_never_cut_for_new_connections() -> None:
    admission = Admission[Comer](LIMITS)
    held = stream(admission, "a")
    assert held not in [admission.arrive(Comer("a")) for _ in range(20)]
    admission.admit(held)  # again: changes nothing


def test_address_that_connects_too_often_is_refused_for_a_while() -> None:
    now_s = 0.0
    limits = ListenerLimits(arrivals=3, arrivals_per_s=2.0)
    admission = Admission[Comer](limits, clock=lambda: now_s)
    for _ in range(3):
        admission.arrive(Comer("a"))
    with pytest.raises(NoRoomError, match="a connects more than 2 times a second"):
        admission.arrive(Comer("a"))
    admission.arrive(Comer("b"))
    now_s = 0.5
    admission.arrive(Comer("a"))
    with pytest.raises(NoRoomError):
        admission.arrive(Comer("a"))


def test_addresses_that_are_remembered_are_bounded() -> None:
    admission = Admission[Comer](ListenerLimits())
    for number in range(3000):
        admission.arrive(Comer(str(number)))
    assert len(admission._buckets) == 1024


@pytest.mark.parametrize(
    ("host", "origin"),
    [
        ("10.0.0.1", "10.0.0.1"),
        ("::ffff:10.0.0.1", "10.0.0.1"),
        ("fe80::1%2", "fe80::1%2"),
        ("FE80::0:1", "fe80::1"),
        ("", ""),
    ],
)
def test_origin_is_the_address_however_it_is_written(host: str, origin: str) -> None:
    assert origin_of(host) == origin

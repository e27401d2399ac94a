"""Which address of a board is taken, and what may become of a record in a draft."""

from __future__ import annotations

import ipaddress
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatcher_client.boards_draft import draft
from dispatcher_client.discovery import Sighting, State, nearest, own_interfaces, read_sighting
from dispatcher_client.errors import OptionError
from fleet.inventory import load_boards
from tests.transport.test_announcement import ANNOUNCEMENTS, BOARD, KEYS, encoded
from transport.address import Address
from transport.errors import AnnouncementError

HERE = [ipaddress.ip_interface(text) for text in ("10.0.0.2/24", "172.17.0.1/16", "2001:db8::2/64", "fe80::2/64")]
ADDRESSES = st.lists(st.ip_addresses().map(str) | st.sampled_from(["10.0.0.11", "fe80::1%1", "224.0.0.251"]))


@pytest.mark.parametrize(
    ("announced", "taken"),
    [
        (["10.0.0.11"], "10.0.0.11"),
        (["192.168.7.7", "10.0.0.11"], "10.0.0.11"),
        (["172.17.0.1", "10.0.0.11"], "10.0.0.11"),  # both ends have Docker's network
        (["172.17.0.1", "fe80::11%1"], "fe80::11%lo"),
        (["2001:db8::11", "10.0.0.11"], "10.0.0.11"),
        (["fe80::11%1", "2001:db8::11"], "2001:db8::11"),
        (["172.17.0.1"], "172.17.0.1"),  # a board on this very machine
    ],
)
def test_address_is_the_nearest_one_of_a_shared_network(announced: list[str], taken: str) -> None:
    assert nearest(announced, HERE) == taken
    assert nearest(announced[::-1], HERE) == taken


@pytest.mark.parametrize("announced", [[], ["8.8.8.8"], ["127.0.0.1"], ["0.0.0.0"], ["224.0.0.251", "ff02::fb"]])
def test_address_elsewhere_is_refused(announced: list[str]) -> None:
    with pytest.raises(AnnouncementError, match="none of its addresses is on a network of this machine"):
        nearest(announced, HERE)


def test_loopback_is_looked_at_when_it_is_asked_for_only() -> None:
    assert [str(i.ip) for i in own_interfaces(["127.0.0.1"])] == ["127.0.0.1"]
    assert "127.0.0.1" in [str(i.ip) for i in own_interfaces(["lo"])]
    everything = own_interfaces()
    assert not any(i.is_loopback for i in everything) or all(i.is_loopback for i in everything)
    with pytest.raises(OptionError, match=r"is moon0, wlan9\. It has .*lo"):
        own_interfaces(["wlan9", "lo", "moon0"])


@given(
    st.text(max_size=80),
    st.dictionaries(st.sampled_from(KEYS) | st.binary(max_size=9), st.none() | st.binary(max_size=99), max_size=3),
    ADDRESSES,
    st.none() | st.integers(0, 65535),
)
def test_whatever_is_announced_is_a_board_that_can_be_drafted_or_unreadable(
    instance: str, changes: dict[bytes, bytes | None], addresses: list[str], port: int | None
) -> None:
    seen = read_sighting(instance, {**encoded(BOARD), **changes}, addresses, port, HERE)
    assert f"{seen.name}{seen.why}".isprintable()
    if seen.state is State.UNREADABLE:
        assert seen.why
        assert draft([seen]) == ""
    else:
        assert drafted([seen]) == [(seen.name, seen.address)]


@given(
    st.lists(
        st.builds(
            lambda said, host, state: Sighting(said.name, state, Address(host, 50051), said, why="why not"),
            ANNOUNCEMENTS.filter(lambda said: said.name != "dispatcher"),
            st.sampled_from(["10.0.0.11", "10.0.0.12", "fe80::1%eth0"]),
            st.sampled_from([State.UNVERIFIED, State.VERIFIED, State.REFUSED]),
        ),
        max_size=6,
    )
)
def test_draft_is_a_valid_boards_yaml_of_boards_that_are_not_refused(sightings: list[Sighting]) -> None:
    usable = {(s.name, s.address) for s in sightings if s.state is not State.REFUSED}
    found = drafted(sightings)
    assert set(found) <= usable
    assert bool(found) == bool(usable)


def test_board_that_showed_its_certificate_has_its_name_before_one_that_says_it() -> None:
    said = Sighting("pi1", State.UNVERIFIED, Address("10.0.0.11", 1), BOARD)
    shown = Sighting("pi1", State.VERIFIED, Address("10.0.0.12", 1), BOARD)
    assert drafted([said, shown]) == [("pi1", shown.address)]


def drafted(sightings: list[Sighting]) -> list[tuple[str, Address]]:
    text = draft(sightings)
    if not text:
        return []
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "boards.yaml"
        path.write_text(text)
        return [(board.name, board.address) for board in load_boards(path)]

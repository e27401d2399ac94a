"""Names of boards, clients and fleets, and the addresses of boards."""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dispatcher_client.certificates import Holder, Right, make_fleet, read_credentials
from dispatcher_client.certificates.errors import HostRefusedError, NameRefusedError
from dispatcher_client.certificates.names import is_ip, parse_host, require_fleet_name, require_name
from tests.dispatcher_client.certificates.handshakes import shake_hands
from transport.names import NAME_PATTERN

NAMES = st.from_regex(NAME_PATTERN.replace("$", r"\Z"), fullmatch=True)
IPS = st.ip_addresses().map(str)


def test_names_are_those_of_boards_yaml() -> None:
    schema = json.loads(files("fleet").joinpath("boards.schema.json").read_text())
    assert schema["$defs"]["name"]["pattern"] == NAME_PATTERN


@settings(max_examples=25)
@given(NAMES.filter(lambda name: name.lower() != "authority"), st.lists(IPS, max_size=3))
def test_every_name_and_address_comes_back_out_of_its_certificate(name: str, addresses: list[str]) -> None:
    holder = Holder.board(name, addresses)
    with tempfile.TemporaryDirectory() as directory:
        made = make_fleet(directory, {name: addresses}, {})
        assert made == {name: Path(directory) / name}
        assert read_credentials(made[name]).holder == holder
        for address in addresses:
            shake_hands(made[name], made[name], address)
        if all(label for label in name.split(".")):  # else no resolver takes it
            shake_hands(made[name], made[name], name)


@given(st.text(max_size=70))
def test_what_is_no_name_is_refused(text: str) -> None:
    is_name = re.fullmatch("[A-Za-z0-9][A-Za-z0-9._-]{0,62}", text, re.ASCII) and text.lower() != "authority"
    if is_name:
        assert require_name(text) == text
    else:
        with pytest.raises(NameRefusedError, match=r"name|called"):
            require_name(text)


@pytest.mark.parametrize(
    "text", ["", ".", "..", "../pi1", "pi1\n", "a/b", "-pi1", "küche", "a" * 64, "authority", "Authority"]
)
def test_name_that_is_none_is_refused(text: str) -> None:
    makers: list[Callable[[], Holder]] = [lambda: Holder.board(text, []), lambda: Holder.client(text, Right.STREAM)]
    for make in makers:
        with pytest.raises(NameRefusedError):
            make()


def test_name_of_a_fleet_fits_a_certificates_subject(tmp_path: Path) -> None:
    longest = "f" * 41
    make_fleet(tmp_path, {}, {}, fleet=longest)
    for text in (longest + "f", "a fleet", ""):
        with pytest.raises(NameRefusedError, match="1 to 41 letters"):
            require_fleet_name(text)


@given(IPS)
def test_every_ip_address_is_a_host(text: str) -> None:
    assert is_ip(parse_host(text))
    assert parse_host(parse_host(text)) == parse_host(text)


@pytest.mark.parametrize(
    ("text", "host"),
    [
        ("10.0.0.11", "10.0.0.11"),
        ("FE80::0:1%eth0", "fe80::1"),
        ("pi1.local", "pi1.local"),
        ("pi_1", "pi_1"),
        ("a1", "a1"),
    ],
)
def test_host_is_as_certificates_hold_it(text: str, host: str) -> None:
    assert parse_host(text) == host


@pytest.mark.parametrize(
    "text",
    [
        "",
        "10.0.0.11:50051",
        "10.0.0.256",
        "10.0.0",
        "1",
        "*.local",
        "pi1.local.",
        "a..b",
        "-a",
        "a b",
        "küche.local",
        "a" * 64,
        ".".join(["a" * 63] * 4),
    ],
)
def test_address_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(HostRefusedError, match="neither an IP address nor a host name"):
        Holder.board("pi1", ["10.0.0.11", text])


def test_address_that_is_the_name_is_not_listed_twice() -> None:
    assert Holder.board("pi1", ["pi1", "10.0.0.11", "10.0.0.11"]).addresses == ("10.0.0.11",)
    assert Holder.board("10.0.0.11", ["10.0.0.11"]).addresses == ("10.0.0.11",)


def test_right_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="rule"):
        Holder.client("camera", "rule")

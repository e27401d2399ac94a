"""Addresses are read from text, and written as they were read."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transport.address import Address
from transport.errors import AddressError


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("10.0.0.11:50051", "10.0.0.11", 50051),
        ("pi1.local:50051", "pi1.local", 50051),
        ("[fe80::1]:50051", "fe80::1", 50051),
        ("[fe80::1%eth0]:50051", "fe80::1%eth0", 50051),
        ("localhost:0", "localhost", 0),
        ("host:65535", "host", 65535),
    ],
)
def test_address_is_read_and_written_alike(text: str, host: str, port: int) -> None:
    address = Address.parse(text)
    assert (address.host, address.port) == (host, port)
    assert str(address) == text
    assert Address.parse(f"  {text}\n") == address


@pytest.mark.parametrize(
    "text",
    [
        "",
        "host",
        "host:",
        ":50051",
        "[]:50051",
        "host:65536",
        "host:-1",
        "host:+1",
        "host: 1",
        "host:five",
        "host:²",
        "host:" + "1" * 5000,
        "fe80::1:50051",
        "[fe80::1]",
        "[fe80::1:50051",
        "http://host:80",
    ],
)
def test_address_is_refused_with_examples_when_it_is_not_host_port(text: str) -> None:
    with pytest.raises(AddressError, match=r"is not HOST:PORT\. Write 10\.0\.0\.11:50051"):
        Address.parse(text)


@given(st.text(max_size=30))
def test_any_text_is_an_address_or_an_address_error(text: str) -> None:
    try:
        address = Address.parse(text)
    except AddressError:
        return
    assert address.host
    assert 0 <= address.port <= 65535

"""TXT records of boards, which anybody on the network can write: read, and drafted."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from zeroconf import ServiceInfo

from dispatcher_client.boards_draft import draft
from dispatcher_client.discovery import State, read_sighting
from fleet.inventory import load_boards
from tests.fuzz.target import Run, Target
from transport.announcement import SERVICE_TYPE, Announcement

_HERE = [ipaddress.ip_interface("10.0.0.2/24")]
_BOARD = Announcement("pi1", 1, "0.1.0", "aarch64", "litert 2", 4, tls=True)
_VALUES = (b"yes", b"no", b"1e5", b"null", b"dispatcher", b"\x1b[2J", b"\n", b"\xff")


def _seeds() -> Iterator[bytes]:
    yield _record(_BOARD.properties())
    yield _record({"txtvers": "1"})
    yield _record({"txtvers": "2", "name": "pi1"})


def _record(properties: dict[str, str]) -> bytes:
    return ServiceInfo(SERVICE_TYPE, f"x.{SERVICE_TYPE}", properties=properties).text


def _start(scratch: Path) -> AbstractContextManager[Run]:
    path = scratch / "boards.yaml"

    def read(data: bytes) -> None:
        properties = ServiceInfo(SERVICE_TYPE, f"x.{SERVICE_TYPE}", properties=data).properties
        seen = read_sighting("x", properties, ["10.0.0.11"], 50051, _HERE)
        assert f"{seen.name}{seen.why}".isprintable()
        assert (seen.state is State.UNREADABLE) == bool(seen.why)
        text = draft([seen])
        if text:
            path.write_text(text)
            assert [board.name for board in load_boards(path)] == [seen.name]

    return nullcontext(read)


_KEYS = tuple(f"{key}=".encode() for key in _BOARD.properties())
TARGET = Target("announcement", _start, (), _seeds, (*_KEYS, *_VALUES), max_bytes=1024)

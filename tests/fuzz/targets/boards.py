"""boards.yaml, which people write and programs generate."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from fleet.errors import BoardsFileError
from fleet.inventory import load_inventory
from tests.fuzz.target import Run, Target

_WORDS = (
    b"boards: links: spares: name: address: memory_mib: threads: group: link_mbit_s: between: mbit_s: round_trip_ms:"
)
YAML_TOKENS = (
    b"&a ",
    b"*a",
    b"<<: *a",
    b"!!int ",
    b"!!timestamp ",
    b"!!binary ",
    b"? ",
    b"- ",
    b".inf",
    b"1_0",
    b"2001-99-99",
    b"[",
    b"{",
    b"|\n",
)
_WHOLE = b"""boards:
  - name: pi1
    address: 10.0.0.11:50051
    memory_mib: 700
    threads: 4
    group: pis
    link_mbit_s: 940.5
  - {name: pi2, address: "[fe80::1]:50051"}
spares: [pi2]
links:
  - between: [pi1, dispatcher]
    mbit_s: 300
    round_trip_ms: 0.4
"""


def _seeds() -> Iterator[bytes]:
    yield b"boards: [{name: a, address: h:1}]\n"
    yield _WHOLE


def _start(scratch: Path) -> AbstractContextManager[Run]:
    path = scratch / "boards.yaml"

    def read(data: bytes) -> None:
        path.write_bytes(data)
        inventory = load_inventory(path)
        assert inventory.serving
        for board in inventory.boards:
            inventory.known_bytes_per_s(board.name, "dispatcher")

    return nullcontext(read)


TARGET = Target(
    "boards", _start, (BoardsFileError,), _seeds, (*_WORDS.split(), b"dispatcher", *YAML_TOKENS), max_bytes=1024
)

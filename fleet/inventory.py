"""The boards an application may use: from boards.yaml, checked against its schema, or from a list of addresses."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Union

from fleet.errors import BoardsFileError
from terminal.yaml_file import YamlDocument, read_yaml
from transport.address import Address
from transport.errors import AddressError

# What the machine that sends inputs is called in a table of links; no board may have its name.
DISPATCHER = "dispatcher"
_BYTES_PER_S_PER_MBIT_S = 1e6 / 8
_EXAMPLE = "boards:\n  - name: pi1\n    address: 10.0.0.11:50051"


@dataclass(frozen=True)
class Board:
    """A machine that runs one node service. `name` is what errors and tables call it.

    What is None is asked of the board or measured.

    Attributes:
        memory_bytes: most that partitions and frames may take there.
        threads: for the runtime.
        delegate: name of one of those that the board's service is configured with, or "none".
        group: boards of a group are alike: the same hardware behind the same kind of link.
        link_bytes_per_s: speed of the board's own link, both ways.
    """

    name: str
    address: Address
    memory_bytes: int | None = None
    threads: int | None = None
    delegate: str | None = None
    group: str | None = None
    link_bytes_per_s: float | None = None

    @property
    def certificate_name(self) -> str:
        """What its certificate must be valid for: its name, or its host where nobody has given it one but its address."""
        return self.address.host.partition("%")[0] if ":" in self.name else self.name  # no zone is in certificates


@dataclass(frozen=True)
class Link:
    """A connection between two machines, the same both ways; it overrides the boards' own link speeds."""

    between: frozenset[str]
    bytes_per_s: float
    round_trip_s: float | None = None


@dataclass(frozen=True)
class Inventory:
    """All boards, in order, and the links that are known without measuring.

    Attributes:
        spares: names of boards that serve only when another one fails.
    """

    boards: tuple[Board, ...]
    links: tuple[Link, ...] = ()
    spares: tuple[str, ...] = ()

    @property
    def serving(self) -> list[Board]:
        """The boards that plans may use: all but the spares."""
        return [board for board in self.boards if board.name not in self.spares]

    @property
    def without_spares(self) -> Inventory:
        """What a plan is made for."""
        return replace(self, boards=tuple(self.serving), spares=())

    def link_between(self, one: str, other: str) -> Link | None:
        """What boards.yaml says of this very pair."""
        return next((link for link in self.links if link.between == {one, other}), None)

    def known_bytes_per_s(self, one: str, other: str) -> float | None:
        """The speed between two machines as written in boards.yaml, or None: the pair's own, else the slower board's."""
        link = self.link_between(one, other)
        if link is not None:
            return link.bytes_per_s
        speeds = [board.link_bytes_per_s for board in self.boards if board.name in (one, other)]
        known = [speed for speed in speeds if speed is not None]
        return min(known) if known and len(known) == len(speeds) else None


BoardsSource = Union[str, "os.PathLike[str]", Sequence[Union[str, Board]], Inventory]


def parse_boards(text: str) -> str | list[str]:
    """What a --boards option names: a path, unless it is a list of addresses; a file of that name wins."""
    return [part.strip() for part in text.split(",")] if ":" in text and not Path(text).exists() else text


def load_boards(source: BoardsSource) -> list[Board]:
    """The boards of `load_inventory`, in the order given."""
    return list(load_inventory(source).boards)


def load_inventory(source: BoardsSource) -> Inventory:
    """The inventory from the path of a boards.yaml, or from a list of "host:port" and `Board`.

    A board may be named twice in a list, to hold several partitions.
    Raises: BoardsFileError: unreadable, or against the schema: the line, what is wrong and the fix. AddressError.
    """
    if isinstance(source, Inventory):
        return source
    if isinstance(source, (str, os.PathLike)):
        return _read_file(os.fspath(source))
    boards = tuple(b if isinstance(b, Board) else Board(b, Address.parse(b)) for b in source)
    _require_one_address_each(boards)
    return Inventory(boards)


def _require_one_address_each(boards: Sequence[Board]) -> None:
    """Errors name a board, and what failed is looked for under that name."""
    first: dict[str, Address] = {}
    for board in boards:
        known = first.setdefault(board.name, board.address)
        if known != board.address:
            raise BoardsFileError(
                f"two boards are called {board.name}, at {known} and {board.address}. Give each board its own name."
            )


def _read_file(path: str) -> Inventory:
    document = read_yaml(path, __package__, "boards.schema.json", BoardsFileError, _EXAMPLE)
    content = document.content
    _require_distinct_names(document)
    _require_finite(document)
    boards = tuple(_board(document, index, entry) for index, entry in enumerate(content["boards"]))
    _require_distinct_addresses(document, boards)
    _require_groups_alike(document, boards)
    names = {board.name for board in boards} | {DISPATCHER}
    links = tuple(_link(document, index, entry, names) for index, entry in enumerate(content.get("links", [])))
    _require_distinct_pairs(document, links)
    spares = tuple(content.get("spares", []))
    _require_spares(document, spares, boards)
    return Inventory(boards, links, spares)


def _require_finite(document: YamlDocument) -> None:
    """YAML has .inf, .nan and whole numbers beyond all floats, of which no schema rids it."""
    for list_name in ("boards", "links"):
        for index, entry in enumerate(document.content.get(list_name, [])):
            for key, value in entry.items():
                if isinstance(value, (int, float)) and not _is_finite(value):
                    raise document.error(
                        (list_name, index, key), f"{key} is {value}, expected a number. Without it, it is measured."
                    )


def _is_finite(value: int | float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # a whole number beyond all floats
        return False


def _require_distinct_pairs(document: YamlDocument, links: Sequence[Link]) -> None:
    first_line: dict[frozenset[str], int] = {}
    for index, link in enumerate(links):
        place = ("links", index)
        if link.between in first_line:
            raise document.error(
                place,
                f"the link between {' and '.join(sorted(link.between))} is described on line {first_line[link.between]} already; "
                "a link is the same both ways. Remove one.",
            )
        first_line[link.between] = document.line(place)


def _require_distinct_names(document: YamlDocument) -> None:
    first_line: dict[str, int] = {}
    for index, entry in enumerate(document.content["boards"]):
        place = ("boards", index, "name")
        if entry["name"] == DISPATCHER:
            raise document.error(
                place, f"no board can be called {DISPATCHER}: that is the machine that sends inputs. Rename it."
            )
        if entry["name"] in first_line:
            raise document.error(
                place,
                f"the name {entry['name']!r} is taken by the board on line {first_line[entry['name']]}. "
                "Give each board its own name.",
            )
        first_line[entry["name"]] = document.line(place)


def _require_distinct_addresses(document: YamlDocument, boards: Sequence[Board]) -> None:
    first: dict[Address, tuple[str, int]] = {}
    for index, board in enumerate(boards):
        place = ("boards", index, "address")
        if board.address in first:
            name, line = first[board.address]
            raise document.error(
                place,
                f"{board.address} is the address of {name} on line {line} already; a board serves one plan's stage. "
                "Remove one of the two, or correct its address.",
            )
        first[board.address] = (board.name, document.line(place))


def _require_groups_alike(document: YamlDocument, boards: Sequence[Board]) -> None:
    """What is measured on a board of a group is compared with the others'."""
    first: dict[str, Board] = {}
    for index, board in enumerate(boards):
        known = first.setdefault(board.group, board) if board.group is not None else board
        if known.delegate != board.delegate:
            raise document.error(
                ("boards", index),
                f"{board.name} and {known.name} are of the group {board.group} and have different delegates. "
                "Boards of a group are alike: give them the same delegate, or different groups.",
            )


def _require_spares(document: YamlDocument, spares: Sequence[str], boards: Sequence[Board]) -> None:
    names = [board.name for board in boards]
    for index, name in enumerate(spares):
        if name not in names:
            raise document.error(
                ("spares", index),
                f"{name} is no board of this file. Use names from boards: {', '.join(sorted(names))}.",
            )
    if len(spares) == len(names):
        raise document.error(("spares",), "every board is a spare. Leave at least one to serve.")


def _board(document: YamlDocument, index: int, entry: dict[str, Any]) -> Board:
    try:
        address = Address.parse(entry["address"])
    except AddressError as error:
        raise document.error(("boards", index, "address"), str(error)) from error
    memory_mib, link_mbit_s = entry.get("memory_mib"), entry.get("link_mbit_s")
    return Board(
        name=entry["name"],
        address=address,
        # To a JSON schema 4.0 is an integer.
        memory_bytes=None if memory_mib is None else int(memory_mib) * 2**20,
        threads=None if entry.get("threads") is None else int(entry["threads"]),
        delegate=entry.get("delegate"),
        group=entry.get("group"),
        link_bytes_per_s=None if link_mbit_s is None else link_mbit_s * _BYTES_PER_S_PER_MBIT_S,
    )


def _link(document: YamlDocument, index: int, entry: dict[str, Any], names: set[str]) -> Link:
    unknown = sorted(set(entry["between"]) - names)
    if unknown:
        raise document.error(
            ("links", index, "between"),
            f"{', '.join(unknown)} is no board of this file. Use names from boards, or {DISPATCHER}: "
            f"{', '.join(sorted(names))}.",
        )
    trip_ms = entry.get("round_trip_ms")
    return Link(
        between=frozenset(entry["between"]),
        bytes_per_s=entry["mbit_s"] * _BYTES_PER_S_PER_MBIT_S,
        round_trip_s=None if trip_ms is None else trip_ms / 1e3,
    )

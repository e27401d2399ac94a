"""boards.yaml: what is read, and that every error names the line and the fix."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from fleet.errors import BoardsFileError
from fleet.inventory import Board, Inventory, Link, load_boards, load_inventory, parse_boards
from transport.address import Address
from transport.errors import AddressError

ONE = "boards:\n  - name: pi1\n    address: h:1\n"
GOOD = "boards:\n  - name: pi1\n    address: 10.0.0.11:50051\n  - name: pi2\n    address: '[fe80::1]:50051'\n"


def test_boards_are_read_in_order(tmp_path: Path) -> None:
    path = tmp_path / "boards.yaml"
    path.write_text(GOOD)
    expected = [Board("pi1", Address("10.0.0.11", 50051)), Board("pi2", Address("fe80::1", 50051))]
    assert load_boards(path) == expected
    assert load_boards(str(path)) == expected


def test_list_of_addresses_names_boards_by_address() -> None:
    board = Board("pi9", Address("10.0.0.9", 1))
    assert load_boards(["10.0.0.11:50051", board]) == [Board("10.0.0.11:50051", Address("10.0.0.11", 50051)), board]
    with pytest.raises(AddressError, match="not HOST:PORT"):
        load_boards(["pi1"])


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("", 1, "mapping with the key boards"),
        ("- pi1\n", 1, "mapping with the key boards"),
        ("boards: []\n", 1, "list of boards"),
        ("boards:\n  - name: pi1\n", 2, "'address' is a required property"),
        ("boards:\n  - name: pi1\n    address: 10.0.0.11\n", 3, "not HOST:PORT"),
        ("boards:\n  - name: pi1\n    address: 17\n", 3, "HOST:PORT"),
        ("boards:\n  - name: a b\n    address: h:1\n", 2, "letters, digits"),
        ("boards:\n  - name: pi1\n    address: h:1\n    adress: h:1\n", 2, "'adress' was unexpected"),
        ("boards:\n  - name: pi1\n    address: h:1\nbords: 1\n", 1, "'bords' was unexpected"),
        ("boards:\n  - name: pi1\n    address: h:1\n    memory_mib: lots\n", 4, "whole number of MiB"),
        ("boards:\n  - name: pi1\n    address: h:1\n    threads: 0\n", 4, "1 or more"),
        (
            "boards:\n  - name: pi1\n    address: h:1\n    delegate: /usr/lib/x.so\n",
            4,
            "given with --delegate, or none",
        ),
        (
            "boards:\n  - {name: a, address: h:1, group: g, delegate: npu}\n  - {name: b, address: h:3, group: g}\n",
            3,
            "b and a are of the group g and have different delegates",
        ),
        ("boards:\n  - name: pi1\n    address: h:1\n    link_mbit_s: 0\n", 4, "above 0 in Mbit/s"),
        ("boards:\n  - name: dispatcher\n    address: h:1\n", 2, "Rename it"),
        (f"{ONE}links:\n  - between: [pi1]\n    mbit_s: 3\n", 5, "names of two boards"),
        (f"{ONE}links:\n  - between: [pi1, pi2]\n    mbit_s: 3\n", 5, "pi2 is no board of this file"),
        (f"{ONE}links:\n  - between: [pi1, dispatcher]\n", 5, "'mbit_s' is a required property"),
        (f"{ONE}links:\n  - between: [pi1, dispatcher]\n    mbit_s: 1\n    round_trip_ms: -1\n", 7, "0 or more"),
        (f"{ONE}    link_mbit_s: .inf\n", 4, "link_mbit_s is inf, expected a number"),
        (f"{ONE}links:\n  - between: [pi1, dispatcher]\n    mbit_s: .nan\n", 6, "mbit_s is nan, expected a number"),
        (f"{ONE}    link_mbit_s: 1{'0' * 400}\n", 4, "expected a number"),
        (f"{ONE}    memory_mib: 1{'0' * 400}\n", 4, "expected a number"),
        (
            f"{ONE}links:\n  - {{between: [pi1, dispatcher], mbit_s: 1, round_trip_ms: 1{'0' * 400}}}\n",
            5,
            "expected a number",
        ),
        (
            f"{ONE}links:\n  - {{between: [pi1, dispatcher], mbit_s: 3}}\n  - {{between: [dispatcher, pi1], mbit_s: 4}}\n",
            6,
            "between dispatcher and pi1 is described on line 5 already",
        ),
        (f"{ONE}    name: pi2\n    address: h:2\n", 4, "name stands in line 2 already"),
    ],
)
def test_wrong_file_is_refused_with_line_and_fix(tmp_path: Path, text: str, line: int, words: str) -> None:
    path = tmp_path / "boards.yaml"
    path.write_text(text)
    with pytest.raises(BoardsFileError) as caught:
        load_boards(path)
    assert f"{path}:{line}:" in str(caught.value)
    assert words in str(caught.value)


@pytest.mark.parametrize("content", [b"boards: [\n", b"\xff\xfe\x00"])
def test_file_that_is_no_yaml_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "boards.yaml"
    path.write_bytes(content)
    with pytest.raises(BoardsFileError, match="cannot be read as YAML"):
        load_boards(path)


def test_missing_file_is_refused_with_an_example(tmp_path: Path) -> None:
    with pytest.raises(BoardsFileError, match=r"name: pi1"):
        load_boards(tmp_path / "boards.yaml")


def test_boards_option_is_a_list_of_addresses_or_a_path(tmp_path: Path) -> None:
    assert parse_boards("10.0.0.11:50051, pi2.local:1") == ["10.0.0.11:50051", "pi2.local:1"]
    assert parse_boards("boards.yaml") == "boards.yaml"
    odd = tmp_path / "h:1"
    odd.write_text(GOOD)
    assert parse_boards(str(odd)) == str(odd)


def test_whole_numbers_may_be_written_with_a_point(tmp_path: Path) -> None:
    path = tmp_path / "boards.yaml"
    path.write_text(f"{ONE}    threads: 4.0\n    memory_mib: 64.0\n")
    (board,) = load_boards(path)
    assert (board.threads, board.memory_bytes) == (4, 64 * 2**20)
    assert isinstance(board.threads, int)
    assert isinstance(board.memory_bytes, int)


def test_two_boards_of_one_name_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "boards.yaml"
    path.write_text("boards:\n  - name: pi1\n    address: h:1\n  - name: pi1\n    address: h:2\n")
    with pytest.raises(BoardsFileError, match=f"{path}:4: .*pi1.*line 2"):
        load_boards(path)


def test_two_boards_at_one_address_are_refused_in_a_file_only(tmp_path: Path) -> None:
    path = tmp_path / "boards.yaml"
    path.write_text(f"{ONE}  - name: pi2\n    address: h:2\n  - name: pi3\n    address: ' h:1'\n")
    with pytest.raises(
        BoardsFileError, match=f"{path}:7: .*h:1 is the address of pi1 on line 3 already; a board serves"
    ):
        load_boards(path)
    assert len(load_boards(["h:1", "h:1"])) == 2


def test_what_a_board_and_its_links_can_do_is_read_in_bytes_and_seconds(tmp_path: Path) -> None:
    path = tmp_path / "boards.yaml"
    path.write_text(
        """
boards:
  - {name: pi1, address: "h:1", memory_mib: 512, threads: 4, delegate: npu, group: pi4, link_mbit_s: 100}
  - {name: pi2, address: "h:2", link_mbit_s: 80}
  - {name: pi3, address: "h:3"}
links:
  - {between: [pi1, pi3], mbit_s: 8, round_trip_ms: 2}
  - {between: [pi2, dispatcher], mbit_s: 16}
"""
    )
    inventory = load_inventory(path)
    assert inventory.boards[0] == Board("pi1", Address("h", 1), 512 * 2**20, 4, "npu", "pi4", 12.5e6)
    assert inventory.links[0] == Link(frozenset({"pi1", "pi3"}), 1e6, 0.002)
    known = inventory.known_bytes_per_s
    assert known("pi1", "pi2") == known("pi2", "pi1") == 10e6  # the slower board's own link
    assert known("pi3", "pi1") == 1e6  # the pair's own figure counts more
    assert known("pi2", "dispatcher") == 2e6
    assert known("pi1", "dispatcher") == 12.5e6
    assert inventory.link_between("dispatcher", "pi2") == inventory.links[1]
    assert inventory.link_between("pi1", "pi2") is None  # a board's own speed is no link
    assert known("pi2", "pi3") is None  # pi3's link is not known: it is measured
    assert load_inventory(inventory) is inventory
    assert Inventory(()).known_bytes_per_s("a", "b") is None


def test_spares_are_boards_that_plans_may_not_use(tmp_path: Path) -> None:
    path = tmp_path / "boards.yaml"
    path.write_text(f"{ONE}  - name: pi2\n    address: h:2\nspares: [pi2]\n")
    inventory = load_inventory(path)
    assert inventory.spares == ("pi2",)
    assert [board.name for board in inventory.boards] == ["pi1", "pi2"]
    assert [board.name for board in inventory.serving] == ["pi1"]
    assert inventory.without_spares == replace(inventory, boards=inventory.boards[:1], spares=())


@pytest.mark.parametrize(
    ("spares", "line", "words"),
    [
        ("[pi2, pi9]", 6, "pi9 is no board of this file. Use names from boards: pi1, pi2."),
        ("[pi1, pi2]", 6, "every board is a spare"),
    ],
)
def test_spares_that_cannot_be_are_refused(tmp_path: Path, spares: str, line: int, words: str) -> None:
    path = tmp_path / "boards.yaml"
    path.write_text(f"{ONE}  - name: pi2\n    address: h:2\nspares: {spares}\n")
    with pytest.raises(BoardsFileError) as caught:
        load_inventory(path)
    assert f"{path}:{line}:" in str(caught.value)
    assert words in str(caught.value)


def test_boards_of_one_name_at_two_addresses_are_refused() -> None:
    one, other = (Board("pi", Address("127.0.0.1", port)) for port in (1, 2))
    assert load_boards([one, one]) == [one, one]
    with pytest.raises(BoardsFileError, match=r"two boards are called pi, at 127\.0\.0\.1:1 and 127\.0\.0\.1:2"):
        load_boards([one, other])

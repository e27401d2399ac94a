"""boards.yaml: what is read, and that every error names the line and the fix."""

from __future__ import annotations

from pathlib import Path

import pytest

from dispatcher_client import Board, BoardsFileError, load_boards
from transport.address import Address
from transport.errors import AddressError

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


def test_two_boards_of_one_name_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "boards.yaml"
    path.write_text("boards:\n  - name: pi1\n    address: h:1\n  - name: pi1\n    address: h:2\n")
    with pytest.raises(BoardsFileError, match=f"{path}:4: .*pi1.*line 2"):
        load_boards(path)

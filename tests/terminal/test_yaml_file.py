"""YAML files of people: what is wrong is said with its line, all at once, and nothing is lost in silence."""

from __future__ import annotations

from pathlib import Path

import pytest

from terminal.yaml_file import YamlDocument, read_yaml

EXAMPLE = "boards:\n  - name: pi1\n    address: 10.0.0.11:50051"
GOOD = """\
# a comment
boards:
  - name: pi1
    address: h:1
  - {name: pi2,
     address: "h:2"}
"""


class WrongFileError(Exception):
    """What the reader is told to raise."""


def read(path: Path) -> YamlDocument:
    return read_yaml(str(path), "fleet", "boards.schema.json", WrongFileError, EXAMPLE)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "boards.yaml"


def complaint(path: Path, text: str) -> list[str]:
    """The lines of the error, without the file's name."""
    path.write_text(text)
    with pytest.raises(WrongFileError) as caught:
        read(path)
    lines = str(caught.value).split("\n")
    assert all(line.startswith(f"{path}:") for line in lines)
    return [line[len(str(path)) + 1 :] for line in lines]


def test_document_is_read_and_knows_its_lines(path: Path) -> None:
    path.write_text(GOOD)
    document = read(path)
    assert document.content["boards"][1] == {"name": "pi2", "address": "h:2"}
    for place, line in (
        ((), 2),
        (("boards",), 3),
        (("boards", 0, "address"), 4),
        (("boards", 1), 5),
        (("boards", 1, "address"), 6),
        # What does not exist is as near as can be.
        (("boards", 1, "threads"), 5),
        (("boards", 7), 3),
        (("boards", "pi1"), 3),
        (("links",), 2),
        (("boards", 0, "address", "host"), 4),
    ):
        assert document.line(place) == line, place
    error = document.error(("boards", 1, "address"), "no such host.")
    assert isinstance(error, WrongFileError)
    assert str(error) == f"{path}:6: no such host."


def test_all_that_is_wrong_is_said_in_the_order_of_the_file(path: Path) -> None:
    boards = "".join(f"  - name: pi{i}\n    address: h:{i}\n" for i in range(1, 5))
    lines = complaint(
        path, f"boards:\n{boards}  - name: pi5\n  - name: a b\n    address: h:1\n    threads: 0\nmore: 1\n"
    )
    assert [line.split(":")[0] for line in lines] == ["1", "10", "11", "13"]
    assert "'more' was unexpected" in lines[0]
    assert "boards/4: 'address' is a required property. A board is written as name: pi1" in lines[1]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # Without its dash a board vanishes into the one before it.
        (
            "boards:\n  - name: pi1\n    address: h:1\n    name: pi2\n    address: h:2\n",
            ["4: name stands in line 2 already", "5: address stands in line 3 already"],
        ),
        (
            "boards:\n  - {name: pi1, address: h:1}\nboards:\n  - {name: pi2, address: h:2}\n",
            ["3: boards stands in line 1"],
        ),
    ],
)
def test_key_that_stands_twice_is_refused(path: Path, text: str, expected: list[str]) -> None:
    found = complaint(path, text)
    assert len(found) == len(expected)
    for line, words in zip(found, expected):
        assert line.startswith(words)
        assert "begin a new entry with a dash" in line


def test_anchors_and_merged_keys_are_read_as_yaml_has_them(path: Path) -> None:
    path.write_text(
        "boards:\n  - &one {name: pi1, address: 'h:1', threads: 4}\n  - {<<: *one, name: pi2, address: 'h:2'}\n"
    )
    assert read(path).content["boards"][1] == {"name": "pi2", "address": "h:2", "threads": 4}


LAUGHS = "a: &a0 [1]\n" + "".join(f"b{i}: &a{i + 1} [{', '.join([f'*a{i}'] * 9)}]\n" for i in range(20))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("boards: &all [*all]\n", "has more than"),
        ("boards: &all {a: {b: *all}}\n", "has more than"),
        (f"{LAUGHS}boards: *a20\n", "has more than"),
        (f"boards: [{'x, ' * 30_000}x]\n", "has more than"),
        (f"boards: 0x{'f' * 5000}\n", "a value has 5002 characters"),
        ("[" * 5000, "recursion"),
        ("boards: !!timestamp soon\n", ""),
        ("boards: 2001-99-99\n", "month"),
        ("boards: !!int x\n", "invalid literal"),
        ("boards: !!int ''\n", ""),
        ("boards: !!bool perhaps\n", "perhaps"),
    ],
)
def test_values_that_cannot_be_are_refused(path: Path, text: str, words: str) -> None:
    path.write_text(text)
    with pytest.raises(WrongFileError, match=f"cannot be read as YAML: .*{words}"):
        read(path)


def test_many_boards_are_not_too_many(path: Path) -> None:
    board = "threads: 4, memory_mib: 700, group: pis, link_mbit_s: 940"
    path.write_text("boards:\n" + "".join(f"  - {{name: pi{i}, address: 'h{i}:1', {board}}}\n" for i in range(1000)))
    assert len(read(path).content["boards"]) == 1000


def test_missing_file_is_answered_with_an_example(path: Path) -> None:
    with pytest.raises(WrongFileError) as caught:
        read(path)
    assert (
        str(caught.value)
        == f"{path} does not exist. Write one:\n  boards:\n    - name: pi1\n      address: 10.0.0.11:50051"
    )


def test_text_that_is_no_yaml_is_refused_with_its_line(path: Path) -> None:
    path.write_text("boards:\n  - name: pi1\n   address: h:1\n")
    with pytest.raises(WrongFileError, match=r"cannot be read as YAML: (.*\n)*.*line 3"):
        read(path)


def test_directory_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WrongFileError, match=r"cannot be read as YAML: .*directory"):
        read(tmp_path)

"""Files that take another's place: whole, or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from node_service.errors import StoreError
from node_service.replacement import Replacement, make_directories, remove_file, replace_file


def test_file_takes_the_place_when_it_is_committed(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    replacement = Replacement(path)
    replacement.write(b"new")
    assert path.read_bytes() == b"old"
    assert replacement.readable().read_bytes() == b"new"
    replacement.commit()
    replacement.discard()
    assert path.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [path]


def test_file_vanishes_when_it_is_discarded(tmp_path: Path) -> None:
    replacement = Replacement(tmp_path / "file")
    replacement.write(b"new")
    replacement.discard()
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_left_when_the_place_cannot_be_taken(tmp_path: Path) -> None:
    (tmp_path / "file").mkdir()
    with pytest.raises(StoreError, match="the store cannot be written: Is a directory"):
        replace_file(tmp_path / "file", b"new")
    assert list(tmp_path.iterdir()) == [tmp_path / "file"]


def test_removed_file_is_gone_and_need_not_have_been_there(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    remove_file(tmp_path / "file")
    remove_file(tmp_path / "file")
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(StoreError, match="No such file"):
        remove_file(tmp_path / "nowhere" / "file")


def test_directories_are_made_above_each_other(tmp_path: Path) -> None:
    for _ in range(2):
        make_directories(tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b").is_dir()
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match=r"exists|Not a directory"):
        make_directories(tmp_path / "file" / "b")


def test_disk_that_refuses_is_told(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="the store cannot be written: No such file"):
        replace_file(tmp_path / "nowhere" / "file", b"new")

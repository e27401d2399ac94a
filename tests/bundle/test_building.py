"""A bundle's way to its place: in one step, in the order that a power cut asks for, and without leaving anything behind."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
from pathlib import Path

import pytest

import bundle.building
from bundle import BundleError, BundleWriter
from bundle.building import Building, exchange
from tests.bundle import kill_cases
from tests.disk_order import assert_survives_power_cut, recorded
from tests.kill_everywhere import assert_old_or_new, kill_everywhere


def test_bundle_is_the_old_or_the_new_one_wherever_its_writer_is_killed(tmp_path: Path) -> None:
    assert_old_or_new(kill_everywhere("tests.bundle.kill_cases", "REPLACE", tmp_path))


def test_bundle_comes_back_with_the_next_writer_where_names_cannot_be_swapped(tmp_path: Path) -> None:
    kills = kill_everywhere("tests.bundle.kill_cases", "REPLACE_IN_TWO_STEPS", tmp_path)
    found = [kill.found for kill in kills if kill.how == "event"]
    assert found == sorted(found, key=["old", "none", "new"].index)
    assert found.count("none") == 1
    assert {kill.healed for kill in kills} == {"new"}
    assert [name for kill in kills for name in kill.leftovers] == []


def test_bundle_that_stepped_aside_is_put_back_when_a_writer_begins(tmp_path: Path) -> None:
    aside = tmp_path / ".out.boardline-killed.old"
    aside.mkdir()
    (aside / "manifest.json").write_text("{}")
    with BundleWriter(tmp_path / "out", replace=True):
        assert (tmp_path / "out" / "manifest.json").read_text() == "{}"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_leftover_of_a_killed_writer_is_removed_and_that_of_a_live_one_is_not(tmp_path: Path) -> None:
    (tmp_path / ".out.boardline-killed").mkdir()
    (tmp_path / ".out.boardline-link").symlink_to(tmp_path / "elsewhere")
    (tmp_path / ".out.settings").mkdir()
    (tmp_path / ".other.boardline-killed").mkdir()
    live = Building(tmp_path / "out")
    second = Building(tmp_path / "out")
    assert live.path.is_dir()
    names = {live.path.name, second.path.name, ".out.settings", ".other.boardline-killed"}
    assert {path.name for path in tmp_path.iterdir()} == names
    for building in (live, second):
        building.discard()
        building.discard()
    assert {path.name for path in tmp_path.iterdir()} == {".out.settings", ".other.boardline-killed"}


@pytest.mark.parametrize("has_exchange", [True, False])
def test_bundle_is_synced_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, has_exchange: bool) -> None:
    if not has_exchange:
        monkeypatch.setattr(bundle.building, "exchange", lambda first, second: False)
    with recorded() as events:
        kill_cases.write(tmp_path / "new" / "deep", "old")
    assert_survives_power_cut(events, names=1)
    with recorded(*["bundle.building.exchange"] * has_exchange) as events:
        kill_cases.write(tmp_path / "new" / "deep", "new")
    renames = [event.path.name for event in events if event.kind == "rename"]
    assert renames[-1] == "parts"
    # The bundle that steps aside was synced by the process that wrote it.
    by_this_one = [event for event in events if event.kind != "rename" or event.path.name == "parts"]
    assert_survives_power_cut(by_this_one, names=1)


def test_link_to_a_bundle_is_replaced_by_the_bundle(tmp_path: Path) -> None:
    kill_cases.write(tmp_path / "elsewhere", "old")
    (tmp_path / "parts").symlink_to(tmp_path / "elsewhere" / "parts")
    kill_cases.write(tmp_path, "new")
    assert kill_cases.look(tmp_path) == "new"
    assert not (tmp_path / "parts").is_symlink()
    assert kill_cases.look(tmp_path / "elsewhere") == "old"
    assert {path.name for path in tmp_path.iterdir()} == {"elsewhere", "parts"}


def test_names_are_swapped_in_one_step(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / name).mkdir()
        (tmp_path / name / name).touch()
    assert exchange(tmp_path / "a", tmp_path / "b")
    assert (tmp_path / "a" / "b").exists()
    with pytest.raises(FileNotFoundError, match="nowhere"):
        exchange(tmp_path / "a", tmp_path / "nowhere")


@pytest.mark.parametrize("number", [None, errno.EINVAL, errno.ENOSYS])
def test_swap_says_so_when_the_system_has_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int | None
) -> None:
    class Library:
        def __init__(self, name: None, use_errno: bool) -> None:
            if number is not None:
                self.renameat2 = lambda *arguments: -1

    monkeypatch.setattr(ctypes, "CDLL", Library)
    monkeypatch.setattr(ctypes, "get_errno", lambda: number)
    assert not exchange(tmp_path / "a", tmp_path / "b")


def test_writer_goes_on_where_directories_cannot_be_locked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(descriptor: int, operation: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", refuse)
    (tmp_path / ".parts.boardline-killed").mkdir()
    kill_cases.write(tmp_path, "new")
    assert kill_cases.look(tmp_path) == "new"
    assert {path.name for path in tmp_path.iterdir()} == {"parts", ".parts.boardline-killed"}


def test_swap_that_fails_leaves_the_old_bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kill_cases.write(tmp_path, "old")

    def fail(first: Path, second: Path) -> bool:
        raise OSError(errno.EIO, "the disk has gone", str(second))

    monkeypatch.setattr(bundle.building, "exchange", fail)
    with pytest.raises(BundleError, match=r"cannot be written: .*the disk has gone"):
        kill_cases.write(tmp_path, "new")
    assert kill_cases.look(tmp_path) == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["parts"]

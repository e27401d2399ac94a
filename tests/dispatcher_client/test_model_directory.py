"""Which of a directory's versions count."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from bundle import Bundle, BundleError
from dispatcher_client.model_directory import ModelDirectory, open_bundle_or_newest

MakeBundle = Callable[..., Bundle]


@pytest.fixture
def bundle(zoo_bundle: MakeBundle) -> Bundle:
    return zoo_bundle("mlp", "float32")


@pytest.fixture
def other(zoo_bundle: MakeBundle) -> Bundle:
    return zoo_bundle("mlp", "int8")


def numbers(directory: ModelDirectory) -> list[int | None]:
    """What two looks find."""
    return [None if (v := directory.newest()) is None else v.number for _ in range(2)]


def test_highest_number_is_the_newest_once_it_has_not_changed_between_two_looks(
    tmp_path: Path, bundle: Bundle, other: Bundle
) -> None:
    directory = ModelDirectory(tmp_path)
    assert numbers(directory) == [None, None]
    shutil.copytree(bundle.path, tmp_path / "9")
    assert numbers(directory) == [None, 9]
    shutil.copytree(other.path, tmp_path / "10")
    assert numbers(directory) == [9, 10]
    newest = directory.newest()
    assert newest is not None
    assert newest.bundle.manifest == other.manifest
    (tmp_path / "10" / "plan.yaml").write_text("")
    assert numbers(directory) == [9, 10]
    shutil.rmtree(tmp_path / "10")
    assert numbers(directory) == [9, 9]


def test_half_copied_bundle_does_not_count(tmp_path: Path, bundle: Bundle) -> None:
    directory = ModelDirectory(tmp_path)
    files = [path for path in sorted(bundle.path.rglob("*")) if path.is_file()]
    files.sort(key=lambda path: path.name != "manifest.json")  # the worst order
    wanted = {bundle.path / p.file.path for s in bundle.splittings for p in s.partitions}
    wanted |= {bundle.path / "manifest.json", bundle.path / "sample.npz"}
    for path in files:
        place = tmp_path / "1" / path.relative_to(bundle.path)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(path.read_bytes()[:-1])
        assert numbers(directory) == [None, None] or not wanted
        assert directory.incomplete or not wanted
        place.write_bytes(path.read_bytes())
        wanted -= {path}
    assert numbers(directory)[1] == 1
    assert directory.incomplete == {}


def test_what_is_left_out_or_has_no_number_does_not_count(tmp_path: Path, bundle: Bundle, other: Bundle) -> None:
    directory = ModelDirectory(tmp_path)
    for name in ("1", "v2", ".3", "4.old"):
        shutil.copytree(bundle.path, tmp_path / name)
    (tmp_path / "5").write_text("a file")
    shutil.copytree(other.path, tmp_path / "6")
    assert numbers(directory) == [None, 6]
    newest = directory.newest()
    assert newest is not None
    lower = directory.newest([newest.fingerprint])
    assert lower is not None
    assert lower.number == 1


def test_added_bundle_is_the_next_version(tmp_path: Path, bundle: Bundle, other: Bundle) -> None:
    directory = ModelDirectory(tmp_path / "models")
    assert [directory.add(bundle), directory.add(other), directory.add(bundle)] == [1, 2, 3]
    assert sorted(path.name for path in directory.path.iterdir()) == ["1", "2", "3"]
    assert open_bundle_or_newest(directory.path).path.name == "3"
    assert open_bundle_or_newest(bundle.path).path == bundle.path


def test_damaged_bundle_is_not_added(tmp_path: Path, bundle: Bundle) -> None:
    damaged = tmp_path / "damaged"
    shutil.copytree(bundle.path, damaged)
    (damaged / bundle.splittings[0].partitions[0].file.path).write_bytes(b"")
    directory = ModelDirectory(tmp_path / "models")
    with pytest.raises(BundleError, match="damaged"):
        directory.add(Bundle(damaged, bundle.manifest))
    assert list(directory.path.iterdir()) == []
    (tmp_path / "file").write_text("")
    with pytest.raises(BundleError, match="cannot be written"):
        ModelDirectory(tmp_path / "file").add(bundle)


def test_directory_without_versions_is_no_bundle(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"no manifest\.json"):
        open_bundle_or_newest(tmp_path)

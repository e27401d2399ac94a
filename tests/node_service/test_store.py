"""The store: whole files or none, names that cannot escape, stages remembered."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from node_service.errors import BadRequestError, StoreError
from node_service.store import Store
from protos.v1.control_plane_pb2 import LoadStageRequest

DATA = b"partition" * 1000
SHA256 = hashlib.sha256(DATA).hexdigest()


def put(store: Store, data: bytes = DATA, sha256: str = SHA256, size_bytes: int = len(DATA)) -> None:
    with store.receive(sha256, size_bytes) as writer:
        for start in range(0, len(data), 1000):
            writer.write(data[start : start + 1000])
        writer.commit()


def files(directory: Path) -> list[str]:
    """Everything but the lock."""
    return sorted(str(p.relative_to(directory)) for p in directory.rglob("*") if p.is_file() and p.name != "lock")


def test_partition_is_found_when_it_was_stored_whole(tmp_path: Path) -> None:
    store = Store(tmp_path)
    other = "0" * 64
    assert store.find_missing([SHA256, other]) == [SHA256, other]
    put(store)
    assert store.find_missing([SHA256, other]) == [other]
    path = store.intact_partition(SHA256)
    assert path is not None
    assert path.read_bytes() == DATA
    assert store.intact_partition(other) is None
    store.close()
    assert Store(tmp_path).find_missing([SHA256]) == []


def test_partition_that_decays_on_the_disk_is_removed_and_missing_again(tmp_path: Path) -> None:
    store = Store(tmp_path)
    put(store)
    path = store.intact_partition(SHA256)
    assert path is not None
    path.write_bytes(b"X" + DATA[1:])
    with pytest.raises(StoreError, match="damaged on this board's disk"):
        store.intact_partition(SHA256)
    assert store.find_missing([SHA256]) == [SHA256]


def test_store_is_refused_when_another_service_uses_it(tmp_path: Path) -> None:
    store = Store(tmp_path)
    with pytest.raises(StoreError, match="in use by another node service"):
        Store(tmp_path)
    store.close()
    Store(tmp_path).close()


@pytest.mark.parametrize(
    ("data", "sha256", "size_bytes", "message"),
    [
        (DATA[:-1], SHA256, len(DATA), "bytes arrived"),
        (DATA + b"x", SHA256, len(DATA), "more bytes arrive"),
        (b"X" + DATA[1:], SHA256, len(DATA), "SHA-256"),
    ],
)
def test_store_keeps_nothing_when_the_upload_is_wrong(
    tmp_path: Path, data: bytes, sha256: str, size_bytes: int, message: str
) -> None:
    store = Store(tmp_path)
    with pytest.raises(BadRequestError, match=message):
        put(store, data, sha256, size_bytes)
    assert files(tmp_path) == []


def test_store_keeps_nothing_when_the_sender_breaks_off(tmp_path: Path) -> None:
    store = Store(tmp_path)

    def break_off() -> None:
        with store.receive(SHA256, len(DATA)) as writer:
            writer.write(DATA[:100])
            raise ConnectionError

    with pytest.raises(ConnectionError):
        break_off()
    assert files(tmp_path) == []


@pytest.mark.parametrize("name", ["../../etc/passwd", "ABC", "", "g" * 64, "0" * 63])
def test_partition_name_is_refused_when_it_is_no_sha256(tmp_path: Path, name: str) -> None:
    with pytest.raises(BadRequestError, match="64 lower-case hexadecimal"):
        Store(tmp_path).receive(name, 1)


@pytest.mark.parametrize("name", ["../x", "a/b", "", ".hidden", "x" * 129, "a b"])
def test_deployment_id_is_refused_when_it_could_be_a_path(tmp_path: Path, name: str) -> None:
    with pytest.raises(BadRequestError, match="deployment id"):
        Store(tmp_path).save_stage(LoadStageRequest(deployment_id=name))


def test_leftovers_of_a_power_cut_are_removed_when_the_store_opens(tmp_path: Path) -> None:
    Store(tmp_path).close()
    (tmp_path / "partitions" / "half.tmp").write_bytes(b"half")
    Store(tmp_path)
    assert files(tmp_path) == []


def test_stages_are_remembered_until_they_are_forgotten(tmp_path: Path) -> None:
    store = Store(tmp_path)
    request = LoadStageRequest(deployment_id="digits-1", stage_index=2)
    store.save_stage(request)
    assert [saved for _, saved in store.saved_stages()] == [request]
    store.forget_stage("digits-1", 2)
    store.forget_stage("digits-1", 2)
    assert store.saved_stages() == []


def test_stage_that_is_remembered_already_is_not_written_again(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for floor in ("1.0", "1.0", "2.0"):
        store.save_stage(LoadStageRequest(deployment_id="digits-1", runtime_floor=floor))
        written = (tmp_path / "stages" / "digits-1.0.json").stat().st_ino
        store.save_stage(LoadStageRequest(deployment_id="digits-1", runtime_floor=floor))
        assert (tmp_path / "stages" / "digits-1.0.json").stat().st_ino == written
        assert [saved.runtime_floor for _, saved in store.saved_stages() if saved] == [floor]


def test_damaged_stage_file_is_reported_and_the_others_are_read(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.save_stage(LoadStageRequest(deployment_id="b", stage_index=0))
    (tmp_path / "stages" / "a.0.json").write_text("{ half a file")
    assert [saved is None for _, saved in store.saved_stages()] == [True, False]


def test_store_is_refused_when_it_cannot_be_a_directory(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot be used"):
        Store(tmp_path / "file")


def test_upload_is_refused_before_the_disk_would_be_too_full_for_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = 3 * len(DATA) + 500
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(total=10**9, free=free))
    store = Store(tmp_path, reserve_bytes=1000)
    other = hashlib.sha256(b"other").hexdigest()
    with store.receive(other, 2 * len(DATA)):  # what was promised to one upload is not given to another
        with pytest.raises(
            StoreError, match=rf"No space left.*{free} are free.*1000 stay so.*{2 * len(DATA)} are promised"
        ):
            put(store)
        assert len(files(tmp_path)) == 1
    put(store)
    free = len(DATA) + 999
    with pytest.raises(StoreError, match="No space left"), store.receive(other, len(DATA)):
        pass


def test_reserve_is_no_more_than_a_twentieth_of_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = SimpleNamespace(total=20 * len(DATA), free=2 * len(DATA))
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    put(Store(tmp_path, reserve_bytes=2**40))


def test_very_many_hashes_are_not_looked_up(tmp_path: Path) -> None:
    with pytest.raises(BadRequestError, match="at most 4096"):
        Store(tmp_path).find_missing([SHA256] * 4097)

"""The board's writers of files, to be killed everywhere."""

from __future__ import annotations

import hashlib
from pathlib import Path

from node_service.checked_partitions import Checked, CheckedPartitions
from node_service.profile_cache import Configuration, ProfileCache
from node_service.store import Store
from protos.v1.control_plane_pb2 import LoadStageRequest, Profile, ProfileKey
from protos.v1.manifest_pb2 import RuntimeIdentity
from runtime.model_check import Findings
from tests.kill_everywhere import KillCase

DATA = bytes(range(256)) * 100
SHA256 = hashlib.sha256(DATA).hexdigest()
KEY = ProfileKey(sha256="a" * 64, threads=4, delegate="none")
HERE = Configuration("pi1", "0123456789abcdef", RuntimeIdentity(runtime="ai-edge-litert", version="2.3.0"))
# Longer than the steps at which files are cut off.
_ADDRESSES = ["tensor" * 20 for _ in range(30)]


def open_store(place: Path) -> None:
    Store(place / "store").close()


def put_partition(place: Path) -> None:
    store = Store(place / "store")
    with store.receive(SHA256, len(DATA)) as writer:
        for start in range(0, len(DATA), 5000):
            writer.write(DATA[start : start + 5000])
        writer.commit()
    store.close()


def look_for_partition(place: Path) -> str:
    store = Store(place / "store")
    path = store.intact_partition(SHA256)
    store.close()
    return "old" if path is None else "new"


def stage(version: str) -> LoadStageRequest:
    request = LoadStageRequest(deployment_id="digits", stage_index=1, runtime_floor=version)
    for name in _ADDRESSES:
        request.partition.arriving.add(name=name)
    return request


def save_stage(place: Path, version: str) -> None:
    store = Store(place / "store")
    store.save_stage(stage(version))
    store.close()


def look_at_stage(place: Path) -> str:
    store = Store(place / "store")
    ((_, saved),) = store.saved_stages()
    store.close()
    assert saved is not None
    assert saved == stage(saved.runtime_floor)
    return saved.runtime_floor


def forget_stage(place: Path) -> None:
    store = Store(place / "store")
    store.forget_stage("digits", 1)
    store.close()


def look_for_stage(place: Path) -> str:
    store = Store(place / "store")
    saved = store.saved_stages()
    store.close()
    return "old" if saved else "new"


def save_drained(place: Path, is_drained: bool) -> None:
    store = Store(place / "store")
    store.save_drained(is_drained)
    store.close()


def look_whether_drained(place: Path) -> bool:
    store = Store(place / "store")
    is_drained = store.is_drained
    store.close()
    return is_drained


def keep_profile(place: Path, board: str) -> None:
    cache = ProfileCache(place / "profiles", HERE)
    cache.keep(Profile(key=KEY, board=board * 3000, runtime=HERE.runtime))


def look_at_profile(place: Path) -> str:
    (profile,) = ProfileCache(place / "profiles", HERE).find([KEY])
    assert len(profile.board) == 9000
    return profile.board[:3]


def keep_check(place: Path, operator: str) -> None:
    CheckedPartitions(place / "checked").keep(SHA256, Checked(Findings((operator * 1000,), 5), "runtime"))


def look_at_check(place: Path) -> str:
    known = CheckedPartitions(place / "checked").find(SHA256)
    assert known is not None
    assert known.findings.need_bytes == 5
    return known.findings.foreign_operators[0][:3]


PUT_PARTITION = KillCase(open_store, put_partition, look_for_partition, step_bytes=2003)
# Made from nothing: the store's directories, too.
NEW_STORE = KillCase(lambda place: None, put_partition, look_for_partition, step_bytes=10_007)
SAVE_STAGE = KillCase(lambda place: save_stage(place, "old"), lambda place: save_stage(place, "new"), look_at_stage)
FORGET_STAGE = KillCase(lambda place: save_stage(place, "old"), forget_stage, look_for_stage)
DRAIN = KillCase(
    open_store,
    lambda place: save_drained(place, True),
    lambda place: "new" if look_whether_drained(place) else "old",
    step_bytes=5,
)
UNDO_DRAIN = KillCase(
    lambda place: save_drained(place, True),
    lambda place: save_drained(place, False),
    lambda place: "old" if look_whether_drained(place) else "new",
)
KEEP_PROFILE = KillCase(
    lambda place: keep_profile(place, "old"), lambda place: keep_profile(place, "new"), look_at_profile
)
KEEP_CHECK = KillCase(lambda place: keep_check(place, "old"), lambda place: keep_check(place, "new"), look_at_check)

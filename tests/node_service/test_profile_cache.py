"""Kept profiles: for this configuration only, whole or not at all, and not without bound."""

from __future__ import annotations

import logging
import os
from dataclasses import replace
from pathlib import Path

import pytest

from node_service.errors import StoreError
from node_service.profile_cache import Configuration, ProfileCache
from protos.v1.control_plane_pb2 import Profile, ProfileKey
from protos.v1.manifest_pb2 import RuntimeIdentity

RUNTIME = RuntimeIdentity(runtime="ai-edge-litert", version="2.3.0", architecture="aarch64", processor="Cortex-A76")
HERE = Configuration("pi1", "0123456789abcdef", RUNTIME)
KEY = ProfileKey(sha256="a" * 64, threads=4, delegate="none")


def profile(key: ProfileKey = KEY, run_s: float = 0.125) -> Profile:
    return Profile(key=key, board="pi1", runtime=RUNTIME, runs=10, run_s=run_s, resident_bytes=2**33)


def numbered(number: int) -> ProfileKey:
    return ProfileKey(sha256=f"{number:064x}", threads=1, delegate="none")


def test_profile_is_found_again_after_a_restart(tmp_path: Path) -> None:
    cache = ProfileCache(tmp_path / "profiles", HERE)
    assert cache.find([KEY]) == []
    cache.keep(profile())
    for again in (cache, ProfileCache(tmp_path / "profiles", HERE)):
        assert again.find([numbered(1), KEY, numbered(2)]) == [profile()]


def test_newer_profile_takes_the_place_of_the_older(tmp_path: Path) -> None:
    cache = ProfileCache(tmp_path, HERE)
    cache.keep(profile())
    cache.keep(profile(run_s=0.5))
    assert cache.find([KEY]) == [profile(run_s=0.5)]
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize(
    "other",
    [
        replace(HERE, board="pi2"),
        replace(HERE, machine="fedcba"),
        replace(HERE, runtime=RuntimeIdentity(runtime="ai-edge-litert", version="2.4.0", architecture="aarch64")),
        replace(HERE, runtime=RuntimeIdentity(runtime="tflite-runtime", version="2.3.0", architecture="aarch64")),
        replace(HERE, runtime=RuntimeIdentity(runtime="ai-edge-litert", version="2.3.0", architecture="x86_64")),
    ],
)
def test_profile_of_another_configuration_is_not_found(tmp_path: Path, other: Configuration) -> None:
    ProfileCache(tmp_path, HERE).keep(profile())
    assert ProfileCache(tmp_path, other).find([KEY]) == []
    assert ProfileCache(tmp_path, HERE).find([ProfileKey(sha256=KEY.sha256, threads=1)]) == []
    assert ProfileCache(tmp_path, HERE).find([KEY]) == [profile()]


def test_profiles_with_and_without_a_delegate_are_different_and_follow_the_library(tmp_path: Path) -> None:
    """Under one name there may be another build of the library, or other options."""
    made_with = ProfileKey(sha256=KEY.sha256, threads=4, delegate="gpu")
    older, newer = (replace(HERE, delegates={"gpu": f"libgpu.so {digest}"}) for digest in ("12ab", "34cd"))
    ProfileCache(tmp_path, older).keep(profile(made_with))
    assert ProfileCache(tmp_path, older).find([made_with]) == [profile(made_with)]
    assert ProfileCache(tmp_path, older).find([KEY]) == ProfileCache(tmp_path, newer).find([made_with]) == []


def test_two_names_of_one_delegate_have_a_profile_each(tmp_path: Path) -> None:
    cache = ProfileCache(tmp_path, replace(HERE, delegates=dict.fromkeys(("npu", "other"), "libvx.so 12ab")))
    keys = [ProfileKey(sha256=KEY.sha256, threads=4, delegate=name) for name in ("npu", "other")]
    for key in keys:
        cache.keep(profile(key))
    assert cache.find(keys) == [profile(key) for key in keys]


def test_profile_of_a_version_without_delegates_is_one_without_a_delegate(tmp_path: Path) -> None:
    cache = ProfileCache(tmp_path, HERE)
    cache.keep(profile(ProfileKey(sha256=KEY.sha256, threads=4)))
    assert cache.find([KEY]) == [profile()]


@pytest.mark.parametrize("content", [b"{ half a pro", b"\xff\xfe", b'{"no_such_field": 1}', b"{}"])
def test_damaged_profile_is_told_once_and_made_anew(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, content: bytes
) -> None:
    cache = ProfileCache(tmp_path, HERE)
    cache.keep(profile())
    (path,) = tmp_path.iterdir()
    path.write_bytes(content)
    with caplog.at_level(logging.ERROR):
        assert cache.find([KEY]) == cache.find([KEY]) == []
    assert len(caplog.records) == 1
    assert path.name in caplog.text
    cache.keep(profile())
    assert cache.find([KEY]) == [profile()]


def test_profile_that_somebody_removed_is_told_and_made_anew(tmp_path: Path) -> None:
    cache = ProfileCache(tmp_path, HERE)
    cache.keep(profile())
    for path in tmp_path.iterdir():
        path.unlink()
    assert cache.find([KEY]) == []


def test_oldest_profiles_go_when_there_are_too_many(tmp_path: Path) -> None:
    cache = ProfileCache(tmp_path, HERE, most=3)
    for number in range(3):
        cache.keep(profile(numbered(number)))
        os.utime(tmp_path / HERE.file_name(numbered(number)), (1000 - number, 1000 - number))
    # After the restart, number 2 is the oldest by its date.
    cache = ProfileCache(tmp_path, HERE, most=3)
    cache.keep(profile(numbered(3)))
    cache.keep(profile(numbered(1)))  # again: is the newest now
    cache.keep(profile(numbered(4)))
    assert [p.key for p in cache.find(map(numbered, range(5)))] == [numbered(1), numbered(3), numbered(4)]
    assert len(list(tmp_path.iterdir())) == 3


def test_leftovers_of_a_power_cut_are_removed(tmp_path: Path) -> None:
    (tmp_path / "half.tmp").write_bytes(b"half")
    ProfileCache(tmp_path, HERE)
    assert list(tmp_path.iterdir()) == []


def test_cache_is_refused_when_its_place_is_taken(tmp_path: Path) -> None:
    (tmp_path / "profiles").write_text("")
    with pytest.raises(StoreError, match="cannot be used"):
        ProfileCache(tmp_path / "profiles", HERE)

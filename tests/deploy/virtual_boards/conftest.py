"""Programs that stand in for qemu and ssh, and a cache that has images."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from deploy.virtual_boards import BaseImage
from deploy.virtual_boards.architecture import ARCHITECTURES
from deploy.virtual_boards.recipe import recipe_for
from tests.emulation import able

__all__ = ["able"]

PUBLIC_KEY = "ssh-ed25519 AAAA nobody\n"


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], None]:
    """stand_in("ssh", "exit 0"): a shell script found before the real program."""
    place = tmp_path / "stand-ins"
    place.mkdir()
    monkeypatch.setenv("PATH", f"{place}{os.pathsep}{os.environ['PATH']}")

    def make(name: str, script: str) -> None:
        path = place / name
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)

    return make


@pytest.fixture
def all_stand_ins(stand_in: Callable[[str, str], None]) -> None:
    """Boards that boot at once and do nothing."""
    for kind in ARCHITECTURES.values():
        stand_in(kind.emulator, 'echo "Linux version 6"; exec sleep 600')
        stand_in(kind.program_emulator, "exit 1")
    for name in ("debootstrap", "gpgv", "mkfs.ext4", "ssh-keygen"):
        stand_in(name, "exit 1")
    stand_in("qemu-img", 'for path in "$@"; do :; done; : > "$path"')
    stand_in("ssh", "exit 0")


@pytest.fixture
def keyring(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stands in for Debian's."""
    path = tmp_path / "keyring.gpg"
    path.write_bytes(b"")
    monkeypatch.setattr("deploy.virtual_boards.preflight.KEYRING", path)
    return path


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    """A cache with a key and an empty image of every architecture."""
    place = tmp_path / "cache"
    place.mkdir()
    (place / "key").write_text("private")
    (place / "key.pub").write_text(PUBLIC_KEY)
    for name in ARCHITECTURES:
        (place / f"{name}-{recipe_for(name, PUBLIC_KEY).digest}").mkdir()
    return place


@pytest.fixture
def image(cache: Path) -> BaseImage:
    return BaseImage(ARCHITECTURES["amd64"], cache / "amd64", cache / "key")

"""What is missing is named at once, with the packages that have it."""

from __future__ import annotations

from pathlib import Path

import pytest

from deploy.virtual_boards import MissingToolsError
from deploy.virtual_boards.architecture import ARCHITECTURES
from deploy.virtual_boards.preflight import require_tools


def test_all_that_is_missing_is_named_in_one_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("deploy.virtual_boards.preflight.KEYRING", tmp_path / "keyring.gpg")
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    with pytest.raises(MissingToolsError) as raised:
        require_tools(ARCHITECTURES.values())
    said = str(raised.value)
    for program in ("debootstrap", "qemu-system-x86_64", "qemu-system-aarch64", "qemu-aarch64-static", "keyring.gpg"):
        assert program in said
    assert said.endswith(
        "apt-get install debian-archive-keyring debootstrap e2fsprogs gpgv iproute2 openssh-client qemu-system-arm "
        "qemu-system-x86 qemu-user-static qemu-utils util-linux"
    )


def test_only_what_an_architecture_takes_is_asked_for(
    all_stand_ins: None, keyring: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    (tmp_path / "stand-ins" / "qemu-system-aarch64").unlink()
    (tmp_path / "stand-ins" / "qemu-aarch64-static").unlink()
    monkeypatch.setenv("PATH", f"{tmp_path / 'stand-ins'}:{_only(tmp_path, 'ip', 'nsenter', 'tc', 'unshare')}")
    require_tools([ARCHITECTURES["amd64"]])
    with pytest.raises(
        MissingToolsError, match=r"take qemu-aarch64-static, qemu-system-aarch64, not .* qemu-user-static$"
    ):
        require_tools([ARCHITECTURES["arm64"]])


def _only(tmp_path: Path, *names: str) -> Path:
    place = tmp_path / "others"
    place.mkdir()
    for name in names:
        (place / name).touch(mode=0o755)
    return place

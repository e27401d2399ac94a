"""Directories of keys on the disk: who may read them, and what is said when they cannot be read or written."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from dispatcher_client.certificates import FleetDirectory, Holder, make_fleet, read_credentials
from dispatcher_client.certificates.authority_change import begin, finish
from dispatcher_client.certificates.errors import (
    AccessError,
    ForeignCertificateError,
    KeyMismatchError,
    NameTakenError,
    UnreadableError,
)
from dispatcher_client.certificates.files import only_writer, write_directory


@pytest.fixture
def no_umask() -> Iterator[None]:
    """The worst case: nothing is masked."""
    before = os.umask(0)
    yield
    os.umask(before)


def modes(directory: Path) -> dict[str, int]:
    return {str(p.relative_to(directory)): stat.S_IMODE(p.stat().st_mode) for p in directory.rglob("*.pem")}


@pytest.mark.usefixtures("no_umask")
def test_keys_are_their_owners_alone_whatever_the_umask(tmp_path: Path) -> None:
    make_fleet(tmp_path / "quick", {"pi1": []}, {})
    fleet = FleetDirectory.make(tmp_path / "slow", "green")
    fleet.issue([Holder.board("pi1", [])])
    for directory in (tmp_path / "quick", tmp_path / "slow"):
        keys = {"authority/authority-key.pem": 0o600, "pi1/key.pem": 0o600}
        others = {"authority/authority.pem": 0o644, "pi1/certificate.pem": 0o644, "pi1/authority.pem": 0o644}
        assert modes(directory) == {**keys, **others}
    begin(fleet)
    fleet.renew(["pi1"])
    assert {mode for name, mode in modes(tmp_path / "slow").items() if "key" in name} == {0o600}
    assert "authority/next-authority-key.pem" in modes(tmp_path / "slow")
    finish(fleet)
    assert {mode for name, mode in modes(tmp_path / "slow").items() if "key" in name} == {0o600}


@pytest.mark.usefixtures("no_umask")
def test_key_is_never_readable_by_others_not_even_for_a_moment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: dict[str, int] = {}
    real_open = os.open

    def noting_open(path: object, flags: int, *arguments: int, **options: int) -> int:
        descriptor = real_open(path, flags, *arguments, **options)  # type: ignore[arg-type]
        if flags & os.O_CREAT:
            made[Path(str(path)).name] = stat.S_IMODE(os.fstat(descriptor).st_mode)
        return descriptor

    monkeypatch.setattr(os, "open", noting_open)
    FleetDirectory.make(tmp_path, "green").issue([Holder.board("pi1", [])])
    assert (made["key.pem"], made["authority-key.pem"]) == (0o600, 0o600)


def test_keys_are_in_no_representation_of_an_object(tmp_path: Path) -> None:
    made = make_fleet(tmp_path, {"pi1": []}, {})
    for shown in (repr(read_credentials(made["pi1"])), repr(FleetDirectory(tmp_path).authorities)):
        assert "PrivateKey" not in shown


def test_credentials_that_do_not_belong_together_are_refused(tmp_path: Path) -> None:
    made = make_fleet(tmp_path / "one", {"pi1": [], "pi2": []}, {})
    other = make_fleet(tmp_path / "other", {"pi1": []}, {})
    key = (made["pi1"] / "key.pem").read_bytes()
    (made["pi1"] / "key.pem").write_bytes((made["pi2"] / "key.pem").read_bytes())
    with pytest.raises(KeyMismatchError, match=r"pi1/key.pem is not the key of the certificate beside it"):
        read_credentials(made["pi1"])
    (made["pi1"] / "key.pem").write_bytes(key)
    read_credentials(made["pi1"])
    (made["pi1"] / "authority.pem").write_bytes((other["pi1"] / "authority.pem").read_bytes())
    with pytest.raises(ForeignCertificateError, match="was not issued by an authority in"):
        read_credentials(made["pi1"])


@pytest.mark.parametrize(
    ("name", "error", "words"),
    [
        ("key.pem", KeyMismatchError, "pi1/key.pem is missing"),
        ("certificate.pem", UnreadableError, "pi1/certificate.pem does not exist"),
        ("authority.pem", UnreadableError, "pi1/authority.pem does not exist"),
    ],
)
def test_file_that_is_missing_is_named(tmp_path: Path, name: str, error: type[Exception], words: str) -> None:
    directory = make_fleet(tmp_path, {"pi1": []}, {})["pi1"]
    (directory / name).unlink()
    with pytest.raises(error, match=words):
        read_credentials(directory)


@pytest.mark.parametrize("name", ["key.pem", "certificate.pem", "authority.pem"])
@pytest.mark.parametrize(
    "content", [b"", b"secret", b"-----BEGIN CERTIFICATE-----\nsecret\n-----END CERTIFICATE-----\n"]
)
def test_file_that_is_something_else_is_named_and_not_quoted(tmp_path: Path, name: str, content: bytes) -> None:
    directory = make_fleet(tmp_path, {"pi1": []}, {})["pi1"]
    (directory / name).write_bytes(content)
    with pytest.raises(UnreadableError, match=f"pi1/{name} holds no ") as refused:
        read_credentials(directory)
    assert "secret" not in str(refused.value)
    assert name != "key.pem" or refused.value.__cause__ is None


def test_directory_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with pytest.raises(UnreadableError, match="pi9 does not exist"):
        read_credentials(tmp_path / "pi9")


def test_file_that_cannot_be_read_is_named_with_the_cause(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = make_fleet(tmp_path, {"pi1": []}, {})["pi1"]
    real_open = os.open

    def refuse(path: object, *arguments: int, **options: int) -> int:
        if path == "key.pem":
            raise PermissionError(13, "Permission denied", path)
        return real_open(path, *arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(
        AccessError, match=r"pi1/key.pem cannot be read: Permission denied. Run it as the user who owns"
    ):
        read_credentials(directory)


def test_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(AccessError, match="cannot be made: File exists"):
        FleetDirectory.make(tmp_path / "file" / "fleet", "green")
    with pytest.raises(AccessError, match="cannot be written: File exists"):
        write_directory(tmp_path / "file" / "pi1", {"key.pem": b""})
    make_fleet(tmp_path / "other", {}, {})
    with pytest.raises(NameTakenError, match="authority exists already"):
        make_fleet(tmp_path / "other", {}, {})


def test_two_commands_do_not_change_one_directory_at_a_time(tmp_path: Path) -> None:
    make_fleet(tmp_path, {"pi1": []}, {})
    with (
        FleetDirectory.opened(tmp_path),
        pytest.raises(AccessError, match="another certs command is at work"),
        FleetDirectory.opened(tmp_path),
    ):
        raise AssertionError("two of them")
    with FleetDirectory.opened(tmp_path) as fleet:
        assert fleet.names == ["pi1"]


def test_writer_goes_on_where_files_cannot_be_locked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(descriptor: int, operation: int) -> None:
        raise OSError(37, "No locks available")

    monkeypatch.setattr("fcntl.flock", refuse)
    with only_writer(tmp_path):
        pass

"""What is read from a credentials directory, what is refused, and that files which change are read again."""

from __future__ import annotations

import logging
import shutil
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from dispatcher_client.certificates import make_fleet
from transport.credentials import (
    AUTHORITY,
    CERTIFICATE,
    ENVIRONMENT_VARIABLE,
    KEY,
    Credentials,
    Right,
    choose_credentials,
)
from transport.errors import CredentialsError, PlaintextRefusedError

_BOARDS = {"pi1": ["127.0.0.1"]}
_CLIENTS = {"camera": Right.STREAM, "laptop": Right.OPERATE}


@pytest.fixture
def fleet(tmp_path: Path) -> dict[str, Path]:
    return make_fleet(tmp_path / "fleet", _BOARDS, _CLIENTS)


def ago(days: float) -> datetime:
    return datetime.now(timezone.utc).replace(microsecond=0) - timedelta(days=days)


@pytest.mark.parametrize(
    ("name", "rights"),
    [("pi1", {Right.STREAM}), ("camera", {Right.STREAM}), ("laptop", {Right.STREAM, Right.OPERATE})],
)
def test_identity_is_what_the_certificate_says(fleet: dict[str, Path], name: str, rights: set[Right]) -> None:
    identity = Credentials(fleet[name]).identity
    assert (identity.name, set(identity.rights)) == (name, rights)
    assert identity.ends_s == pytest.approx(ago(-365).timestamp(), abs=86_400)


@pytest.mark.parametrize("missing", [CERTIFICATE, KEY, AUTHORITY])
def test_directory_without_one_of_the_files_is_refused_by_its_name(fleet: dict[str, Path], missing: str) -> None:
    (fleet["pi1"] / missing).unlink()
    with pytest.raises(CredentialsError, match=rf"No such file.*{missing}.*certs issue"):
        Credentials(fleet["pi1"])


@pytest.mark.parametrize("name", [CERTIFICATE, KEY, AUTHORITY])
@pytest.mark.parametrize(
    "content", [b"", b"\xff\xfe", b"-----BEGIN CERTIFICATE-----\nnothing\n-----END CERTIFICATE-----\n"]
)
def test_files_that_are_no_certificates_and_keys_are_refused(fleet: dict[str, Path], name: str, content: bytes) -> None:
    (fleet["pi1"] / name).write_bytes(content)
    with pytest.raises(CredentialsError, match="cannot be used"):
        Credentials(fleet["pi1"])


def test_key_of_another_certificate_is_refused(fleet: dict[str, Path]) -> None:
    shutil.copy(fleet["camera"] / KEY, fleet["pi1"] / KEY)
    with pytest.raises(CredentialsError, match="key values mismatch"):
        Credentials(fleet["pi1"])


def test_certificate_of_another_authority_is_refused(fleet: dict[str, Path], tmp_path: Path) -> None:
    other = make_fleet(tmp_path / "other", _BOARDS, {})
    shutil.copy(other["pi1"] / AUTHORITY, fleet["pi1"] / AUTHORITY)
    with pytest.raises(CredentialsError, match="cannot be used"):
        Credentials(fleet["pi1"])


def test_new_files_are_read_and_half_of_them_is_not(fleet: dict[str, Path], caplog: pytest.LogCaptureFixture) -> None:
    used = Credentials(fleet["pi1"])
    before = used.server
    assert used.server is before
    shutil.copy(fleet["camera"] / CERTIFICATE, fleet["pi1"] / CERTIFICATE)
    assert used.server is before
    assert used.identity.name == "pi1"
    assert sum("those" in r.message or "the credentials in use go on" in r.message for r in caplog.records) == 1
    shutil.copy(fleet["camera"] / KEY, fleet["pi1"] / KEY)
    assert used.identity.name == "camera"
    assert used.server is not before


@pytest.mark.parametrize(("age_days", "said"), [(300, None), (340, "ends in 25 days"), (400, "has ended on")])
def test_holder_is_warned_in_the_last_month(tmp_path: Path, age_days: float, said: str | None) -> None:
    warning = Credentials(make_fleet(tmp_path, _BOARDS, {}, now=ago(age_days))["pi1"]).warning()
    assert warning is None if said is None else said in (warning or "") and "certs rotate" in (warning or "")


def test_plaintext_is_chosen_only_by_name(fleet: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(ENVIRONMENT_VARIABLE)
    with pytest.raises(PlaintextRefusedError, match=r"certs init.*--credentials.*--insecure"):
        choose_credentials(None, insecure=False)
    with pytest.raises(CredentialsError, match="exclude each other"):
        choose_credentials(fleet["pi1"], insecure=True)
    assert choose_credentials(None, insecure=True) is None


def test_environment_names_credentials_that_no_argument_names(
    fleet: dict[str, Path], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv(ENVIRONMENT_VARIABLE, str(fleet["camera"]))
    chosen = choose_credentials(None, insecure=False)
    assert chosen is not None
    assert chosen.identity.name == "camera"
    given = choose_credentials(fleet["laptop"], insecure=False)
    assert given is not None
    assert given.identity.name == "laptop"
    with caplog.at_level(logging.WARNING):
        assert choose_credentials(None, insecure=True) is None  # asked for by name: the variable does not count
    assert "plaintext was asked for" in caplog.text


def test_credentials_say_whose_they_are_and_nothing_of_the_key(fleet: dict[str, Path]) -> None:
    assert repr(Credentials(fleet["pi1"])) == f"<credentials of pi1 in {fleet['pi1']}>"
    assert "PRIVATE" not in repr(Credentials(fleet["pi1"]).pem)

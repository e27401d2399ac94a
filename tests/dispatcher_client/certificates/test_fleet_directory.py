"""Issuing and renewing in a fleet's directory."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from dispatcher_client.certificates import FleetDirectory, Holder, Kind, make_fleet, read_credentials
from dispatcher_client.certificates.errors import (
    CertificatesError,
    ForeignCertificateError,
    KeyMismatchError,
    LifeRefusedError,
    NameTakenError,
    NoAuthorityError,
    UnknownNameError,
    UnreadableError,
)
from dispatcher_client.errors import DispatcherError
from tests.dispatcher_client.certificates.handshakes import shake_hands

NOW = datetime(2031, 5, 4, 3, 2, 1, tzinfo=timezone.utc)
PI1, PI2, CAMERA = Holder.board("pi1", ["10.0.0.11"]), Holder.board("pi2", []), Holder.client("camera", "stream")


@pytest.fixture
def fleet(tmp_path: Path) -> FleetDirectory:
    return FleetDirectory.make(tmp_path / "deep" / "fleet", "green", NOW)


def at(fleet: FleetDirectory, now: datetime) -> FleetDirectory:
    return FleetDirectory(fleet.path, now)


def test_directory_holds_what_was_issued_and_nothing_else(fleet: FleetDirectory) -> None:
    assert fleet.names == []
    made = fleet.issue([PI1, CAMERA])
    assert made == {name: fleet.path / name for name in ("pi1", "camera")}
    assert fleet.names == ["camera", "pi1"]
    for place in made.values():
        assert {path.name for path in place.iterdir()} == {"certificate.pem", "key.pem", "authority.pem"}
    assert {path.name for path in (fleet.path / "authority").iterdir()} == {"authority.pem", "authority-key.pem"}
    assert fleet.credentials("pi1").holder == PI1
    assert fleet.credentials("camera").ends - NOW == timedelta(days=365)


def test_fleet_is_made_once(fleet: FleetDirectory) -> None:
    was = (fleet.path / "authority" / "authority.pem").read_bytes()
    with pytest.raises(NameTakenError, match="exists already"):
        FleetDirectory.make(fleet.path, "green", NOW)
    assert (fleet.path / "authority" / "authority.pem").read_bytes() == was


def test_name_that_is_taken_is_refused_before_anything_is_written(fleet: FleetDirectory) -> None:
    fleet.issue([PI1, CAMERA])
    was = fleet.credentials("pi1")
    with pytest.raises(NameTakenError, match=r"the name pi1 is taken by a board \(10.0.0.11\).*--replace"):
        fleet.issue([PI2, Holder.client("pi1", "operate")])
    with pytest.raises(NameTakenError, match=r"the name camera is taken by a client \(stream\)"):
        fleet.issue([Holder.board("camera", [])])
    assert fleet.credentials("pi1").certificate == was.certificate
    assert fleet.names == ["camera", "pi1"]
    fleet.issue([PI2, Holder.client("pi1", "operate")], replace=True)
    assert fleet.credentials("pi1").holder.kind is Kind.CLIENT
    assert fleet.names == ["camera", "pi1", "pi2"]


def test_directory_of_something_else_is_never_replaced(fleet: FleetDirectory) -> None:
    (fleet.path / "pi1").mkdir()
    (fleet.path / "pi1" / "thesis.txt").write_text("all of it")
    for replace in (False, True):
        with pytest.raises(NameTakenError, match="holds no certificate"):
            fleet.issue([PI1], replace=replace)
    assert (fleet.path / "pi1" / "thesis.txt").read_text() == "all of it"


@pytest.mark.parametrize("days", [0, -1, 3653, 10**7])
def test_days_out_of_range_are_refused_before_anything_is_written(fleet: FleetDirectory, days: int) -> None:
    fleet.issue([PI1])
    attempts: list[Callable[[], object]] = [
        lambda: fleet.issue([PI2], days=days),
        lambda: fleet.renew(["pi1"], days=days),
    ]
    for refused in attempts:
        with pytest.raises(
            LifeRefusedError, match=rf"{days} days are out of range: .* ends on 2041-05-03.* from 1 to 3652"
        ):
            refused()
    assert fleet.names == ["pi1"]
    assert fleet.credentials("pi1").days == 365


def test_certificate_may_last_as_long_as_the_authority_and_not_longer(fleet: FleetDirectory) -> None:
    fleet.issue([PI1], days=3652)
    assert fleet.credentials("pi1").ends == fleet.authorities.current.certificate.not_valid_after_utc
    late = at(fleet, NOW + timedelta(days=3400))
    with pytest.raises(LifeRefusedError, match="from 1 to 252, or begin a new authority"):
        late.issue([PI2])
    with pytest.raises(LifeRefusedError, match="cannot issue certificates any more"):
        at(fleet, NOW + timedelta(days=3652)).issue([PI2], days=1)


def test_renewed_certificate_says_the_same_for_as_long_with_another_key(fleet: FleetDirectory) -> None:
    fleet.issue([PI1, CAMERA], days=90)
    was = {name: fleet.credentials(name) for name in ("pi1", "camera")}
    later = at(fleet, NOW + timedelta(days=80))
    later.renew(["pi1"])
    now = {name: later.credentials(name) for name in ("pi1", "camera")}
    assert now["pi1"].holder == PI1
    assert now["pi1"].ends == NOW + timedelta(days=170)
    assert now["pi1"].certificate.public_key() != was["pi1"].certificate.public_key()
    assert now["pi1"].certificate.serial_number != was["pi1"].certificate.serial_number
    assert now["camera"].certificate == was["camera"].certificate


def test_certificates_end_soon_from_thirty_days_before_their_end_on(fleet: FleetDirectory) -> None:
    fleet.issue([PI1], days=31)
    fleet.issue([PI2], days=30)
    assert fleet.ending_soon() == ["pi2"]
    assert at(fleet, NOW + timedelta(days=1)).ending_soon() == ["pi1", "pi2"]
    assert at(fleet, NOW + timedelta(days=400)).ending_soon() == ["pi1", "pi2"]
    late = at(fleet, NOW + timedelta(days=400))
    late.renew(late.ending_soon())
    assert late.ending_soon() == ["pi2"]  # it has 30 days again


def test_boards_that_have_what_they_need_are_not_missing(fleet: FleetDirectory) -> None:
    fleet.issue([Holder.board("pi1", ["10.0.0.11", "pi1.local"]), CAMERA])
    assert fleet.missing([PI1, Holder.board("pi1", ["pi1.local"])]) == []
    moved, is_client = Holder.board("pi1", ["10.0.0.99"]), Holder.board("camera", [])
    assert fleet.missing([PI1, PI2, moved, is_client]) == [PI2, moved, is_client]


def test_what_is_not_there_is_named(fleet: FleetDirectory, tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match=r"nobody in .* is called pi9. Known are: none yet"):
        fleet.renew(["pi9"])
    fleet.issue([PI1])
    with pytest.raises(UnknownNameError, match="Known are: pi1"):
        fleet.renew(["pi1", "pi9"])
    with pytest.raises(NoAuthorityError, match=r"holds no authority.*certs init"):
        FleetDirectory(tmp_path)
    with pytest.raises(NoAuthorityError), FleetDirectory.opened(tmp_path):
        pass
    with pytest.raises(NoAuthorityError), FleetDirectory.opened(tmp_path / "nowhere"):
        pass
    assert {path.name for path in tmp_path.iterdir()} == {"deep"}


def test_authority_without_its_key_issues_nothing(fleet: FleetDirectory) -> None:
    (fleet.path / "authority" / "authority-key.pem").unlink()
    with pytest.raises(KeyMismatchError, match=r"authority-key\.pem is missing"):
        FleetDirectory(fleet.path)


def test_certificate_of_another_fleet_is_not_renewed(fleet: FleetDirectory, tmp_path: Path) -> None:
    other = FleetDirectory.make(tmp_path / "other", "green", NOW)
    other.issue([PI1])
    (other.path / "pi1").rename(fleet.path / "pi1")
    with pytest.raises(ForeignCertificateError, match="of another fleet"):
        fleet.renew(["pi1"])
    with pytest.raises(NameTakenError, match="something damaged, or of another fleet"):
        fleet.issue([PI1])
    fleet.issue([PI1], replace=True)
    (fleet.path / "pi1").rename(fleet.path / "pi7")
    with pytest.raises(ForeignCertificateError, match="holds the certificate of pi1"):
        fleet.renew(["pi7"])


def test_damaged_credentials_can_be_replaced(fleet: FleetDirectory) -> None:
    fleet.issue([PI1])
    for name, error in (("key.pem", KeyMismatchError), ("authority.pem", UnreadableError)):
        (fleet.path / "pi1" / name).unlink()
        with pytest.raises(error):
            fleet.credentials("pi1")
        with pytest.raises(NameTakenError, match="the name pi1 is taken by something damaged"):
            fleet.issue([PI1])
        assert fleet.missing([PI1]) == [PI1]
        fleet.issue([PI1], replace=True)
        assert fleet.credentials("pi1").holder == PI1


def test_every_error_is_the_librarys() -> None:
    assert issubclass(CertificatesError, DispatcherError)


def test_fleet_made_on_the_spot_is_a_fleets_directory_like_any_other(tmp_path: Path) -> None:
    made = make_fleet(tmp_path, {"pi1": ["10.0.0.11"]}, {"laptop": "operate"})
    fleet = FleetDirectory(tmp_path)
    assert fleet.names == ["laptop", "pi1"] == sorted(made)
    assert fleet.authorities.current.fleet == "fleet"
    fleet.issue([PI2])
    fleet.renew(["pi1"])
    assert read_credentials(made["pi1"]).holder == PI1
    shake_hands(tmp_path / "pi2", made["pi1"], "pi2")

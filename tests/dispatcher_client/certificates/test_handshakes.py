"""Who accepts whom, in real handshakes."""

from __future__ import annotations

import ssl
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from dispatcher_client.certificates import FleetDirectory, Holder, make_fleet
from tests.dispatcher_client.certificates.handshakes import shake_hands

BOARDS = {"pi1": ["10.0.0.11", "pi1.local", "fe80::1%eth0"], "pi2": ["10.0.0.12"], "10.0.0.13": ["10.0.0.13"]}
CLIENTS = {"camera": "stream", "laptop": "operate"}


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return make_fleet(tmp_path_factory.mktemp("fleet"), BOARDS, CLIENTS)


@pytest.fixture(scope="module")
def foreign(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Another fleet that calls everything the same."""
    return make_fleet(tmp_path_factory.mktemp("foreign"), BOARDS, CLIENTS)


@pytest.mark.parametrize("client", ["camera", "laptop", "pi2"])
@pytest.mark.parametrize("name", ["pi1", "PI1", "10.0.0.11", "pi1.local", "fe80::1"])
def test_board_and_client_of_one_fleet_accept_each_other_under_each_name(
    fleet: dict[str, Path], client: str, name: str
) -> None:
    shake_hands(fleet["pi1"], fleet[client], name)


def test_board_whose_name_is_its_ip_address_is_known_by_it(fleet: dict[str, Path]) -> None:
    shake_hands(fleet["10.0.0.13"], fleet["camera"], "10.0.0.13")


@pytest.mark.parametrize("name", ["pi2", "10.0.0.12", "pi1.lan", "fe80::2", "x.pi1.local"])
def test_client_refuses_a_board_under_another_name(fleet: dict[str, Path], name: str) -> None:
    with pytest.raises(ssl.SSLCertVerificationError, match="mismatch"):
        shake_hands(fleet["pi1"], fleet["camera"], name)


def test_board_refuses_another_fleets_client(fleet: dict[str, Path], foreign: dict[str, Path], tmp_path: Path) -> None:
    knows_both = tmp_path / "intruder"
    knows_both.mkdir()
    for name in ("certificate.pem", "key.pem"):
        (knows_both / name).write_bytes((foreign["laptop"] / name).read_bytes())
    (knows_both / "authority.pem").write_bytes((fleet["laptop"] / "authority.pem").read_bytes())
    with pytest.raises(ssl.SSLError) as refused:
        shake_hands(fleet["pi1"], knows_both, "pi1")
    assert refused.value.reason == "CERTIFICATE_VERIFY_FAILED"


def test_client_refuses_another_fleets_board(fleet: dict[str, Path], foreign: dict[str, Path]) -> None:
    with pytest.raises(ssl.SSLCertVerificationError):
        shake_hands(foreign["pi1"], fleet["camera"], "pi1")


@pytest.mark.parametrize("name", ["camera", "laptop"])
def test_clients_certificate_is_none_of_a_server(fleet: dict[str, Path], name: str) -> None:
    with pytest.raises(ssl.SSLCertVerificationError, match="certificate purpose"):
        shake_hands(fleet[name], fleet["pi1"], name)


def test_certificate_that_has_ended_is_refused_by_both_sides(fleet: dict[str, Path], tmp_path: Path) -> None:
    begun = datetime.now(timezone.utc).replace(microsecond=0) - timedelta(days=20, minutes=1)
    ended = make_fleet(tmp_path / "20", BOARDS, CLIENTS, days=20, now=begun)
    with pytest.raises(ssl.SSLCertVerificationError, match="expired"):
        shake_hands(ended["pi1"], ended["camera"], "pi1")
    lasting = make_fleet(tmp_path / "21", BOARDS, CLIENTS, days=21, now=begun)
    shake_hands(lasting["pi1"], lasting["camera"], "pi1")


def test_board_refuses_a_client_whose_certificate_has_ended(tmp_path: Path) -> None:
    now = datetime.now(timezone.utc).replace(microsecond=0)
    then = now - timedelta(days=9)
    FleetDirectory.make(tmp_path, "fleet", then).issue([Holder.client("camera", "stream")], days=8)
    FleetDirectory(tmp_path, now).issue([Holder.board("pi1", [])])
    with pytest.raises(ssl.SSLCertVerificationError, match="expired"):
        shake_hands(tmp_path / "pi1", tmp_path / "camera", "pi1")


def test_board_whose_clock_lags_five_minutes_accepts_new_certificates(tmp_path: Path) -> None:
    ahead = datetime.now(timezone.utc).replace(microsecond=0) + timedelta(minutes=4)
    made = make_fleet(tmp_path / "4", BOARDS, CLIENTS, now=ahead)
    shake_hands(made["pi1"], made["camera"], "pi1")
    made = make_fleet(tmp_path / "6", BOARDS, CLIENTS, now=ahead + timedelta(minutes=2))
    with pytest.raises(ssl.SSLCertVerificationError, match="not yet valid"):
        shake_hands(made["pi1"], made["camera"], "pi1")

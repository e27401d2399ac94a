"""Commands that are killed anywhere, and readers that read while one writes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from bundle import building
from dispatcher_client.certificates import FleetDirectory, make_fleet, read_credentials
from dispatcher_client.certificates.authority_change import begin
from tests.disk_order import assert_survives_power_cut, recorded
from tests.dispatcher_client.certificates.handshakes import shake_hands
from tests.kill_everywhere import kill_everywhere

CASES = "tests.dispatcher_client.certificates.kill_cases"


@pytest.mark.parametrize(
    ("case", "states"),
    [
        ("INIT", ["old", "new"]),
        ("ISSUE", ["old", "new"]),
        ("RENEW", ["old", "mixed", "new"]),
        ("BEGIN", ["settled", "beginning", "begun"]),
        ("FINISH", ["begun", "finished"]),
        ("FORGET_OLD", ["finished", "settled"]),
    ],
)
def test_machines_accept_each_other_wherever_a_command_is_killed(tmp_path: Path, case: str, states: list[str]) -> None:
    kills = kill_everywhere(CASES, case, tmp_path)
    for how in ("event", "byte"):
        runs = [kill for kill in kills if kill.how == how]
        assert [kill.was_killed for kill in runs] == [True] * (len(runs) - 1) + [False]
        found = [kill.found for kill in runs]
        assert found == sorted(found, key=states.index), found
        assert (found[0], found[-1]) == (states[0], states[-1])
    assert {kill.found for kill in kills} == set(states)
    assert {kill.healed for kill in kills} == {states[-1]}
    # An old key above all must not stay in a hidden place.
    assert {name for kill in kills for name in kill.leftovers} == set()
    assert sum(kill.how == "event" and kill.was_killed for kill in kills) > 10
    assert sum(kill.how == "byte" and kill.was_killed for kill in kills) > 3


def test_directories_are_synced_before_they_take_their_place(tmp_path: Path) -> None:
    make_fleet(tmp_path / "fleet", {"pi1": []}, {"laptop": "operate"})
    with (
        recorded("bundle.building.exchange") as events,
        FleetDirectory.opened(tmp_path / "fleet") as fleet,
    ):
        begin(fleet)
    assert_survives_power_cut(events, names=3)
    with recorded() as events:
        FleetDirectory.make(tmp_path / "other", "other")
    assert_survives_power_cut(events, names=1)


def test_command_that_was_killed_between_two_renames_is_made_good_by_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on file systems that cannot swap names; of the authority's directory, too."""
    make_fleet(tmp_path, {"pi1": []}, {"laptop": "operate"})
    monkeypatch.setattr(building, "exchange", lambda first, second: False)
    for name in ("authority", "pi1"):
        os.rename(tmp_path / name, tmp_path / f".{name}.boardline-killed.old")
    with FleetDirectory.opened(tmp_path) as fleet:
        assert fleet.names == ["laptop", "pi1"]
        fleet.renew(["pi1"])
    shake_hands(tmp_path / "pi1", tmp_path / "laptop", "pi1")
    assert {path.name for path in tmp_path.iterdir()} == {".lock", "authority", "laptop", "pi1"}


@pytest.mark.parametrize("times", [1, 3])
def test_reader_sees_a_matching_pair_though_certificates_are_renewed_between_its_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, times: int
) -> None:
    make_fleet(tmp_path, {"pi1": []}, {})
    was = read_credentials(tmp_path / "pi1").certificate
    real_open = os.open
    left = [times]

    def renew_behind(path: str | Path, flags: int, *arguments: int, **options: int) -> int:
        """Has a writer take its turn when the reader has the certificate, and not yet the key."""
        descriptor = real_open(path, flags, *arguments, **options)
        if Path(path).name == "certificate.pem" and not flags & os.O_CREAT and left[0]:
            left[0] -= 1
            monkeypatch.setattr(os, "open", real_open)
            with FleetDirectory.opened(tmp_path) as fleet:
                fleet.renew(["pi1"])
            monkeypatch.setattr(os, "open", renew_behind)
        return descriptor

    monkeypatch.setattr(os, "open", renew_behind)
    found = read_credentials(tmp_path / "pi1")  # raises KeyMismatchError for a certificate with another one's key
    assert left == [0]
    assert found.certificate == FleetDirectory(tmp_path).credentials("pi1").certificate != was

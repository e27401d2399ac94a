"""What `show` tells of certificates and of the change of authority."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from dispatcher_client.certificates import FleetDirectory, Holder
from dispatcher_client.certificates.authority_change import Step, begin, finish
from dispatcher_client.certificates.description import ENDED, ENDS_SOON, GOOD, describe
from dispatcher_client.certificates.errors import KeyMismatchError

NOW = datetime(2031, 5, 4, 3, 2, 1, tzinfo=timezone.utc)
DAY, SECOND = timedelta(days=1), timedelta(seconds=1)


@pytest.fixture
def fleet(tmp_path: Path) -> FleetDirectory:
    fleet = FleetDirectory.make(tmp_path / "my fleet", "green", NOW)
    fleet.issue([Holder.board("pi1", ["10.0.0.11"])], days=40)
    return fleet


@pytest.mark.parametrize(
    ("passed", "state", "days_left", "end"),
    [
        (timedelta(0), GOOD, 40, "2031-06-13"),
        (10 * DAY - SECOND, GOOD, 30, "2031-06-13"),
        (10 * DAY, ENDS_SOON, 30, "2031-06-13 (ends soon)"),
        (40 * DAY, ENDS_SOON, 0, "2031-06-13 (ends soon)"),
        (40 * DAY + SECOND, ENDED, -1, "2031-06-13 (ended)"),
    ],
)
def test_certificate_is_marked_from_thirty_days_before_its_end_on(
    fleet: FleetDirectory, passed: timedelta, state: str, days_left: int, end: str
) -> None:
    for path in (fleet.path, fleet.path / "pi1"):
        shown = describe(path, NOW + passed)
        row = shown.rows[-1]
        assert (row.name, row.state, row.days_left, row.marked_end) == ("pi1", state, days_left, end)
        assert shown.has_ended == (state == ENDED)


def test_what_is_next_is_a_command_that_can_be_pasted(fleet: FleetDirectory) -> None:
    assert describe(fleet.path, NOW).next == ""
    command = f"python -m dispatcher_client certs rotate '{fleet.path}'"
    expected = f"renew pi1 and copy what is named to its machine: {command}"
    assert describe(fleet.path, NOW + 20 * DAY).next == expected
    begin(fleet)
    copy = "copy every directory but authority/ to its machine, then:"
    assert describe(fleet.path, NOW).next == f"{copy} {command} --authority --finish"
    finish(fleet)
    assert describe(fleet.path, NOW).next == f"{copy} {command} --forget-old"


def test_each_authority_of_a_change_is_shown_and_who_issued_what(fleet: FleetDirectory) -> None:
    authority, leaf = describe(fleet.path, NOW).rows
    assert (authority.name, authority.kind, leaf.authority) == ("authority", "authority", authority.authority)
    begin(fleet)
    shown = describe(fleet.path, NOW)
    assert (shown.step, shown.change.split(":")[0]) == (Step.BEGUN, "step 1 of 3 is done")
    current, following, leaf = shown.rows
    assert (current, following.name, leaf.authority) == (authority, "next authority", current.authority)
    assert [row.name for row in describe(fleet.path / "pi1", NOW).rows] == ["authority", "authority", "pi1"]
    finish(fleet)
    shown = describe(fleet.path, NOW)
    assert (shown.step, shown.change.split(":")[0]) == (Step.FINISHED, "step 2 of 3 is done")
    current, old, leaf = shown.rows
    assert (old.name, old.authority) == ("old authority", authority.authority)
    assert (current.authority, leaf.authority) == (following.authority, following.authority)


def test_authority_that_has_ended_counts(fleet: FleetDirectory) -> None:
    late = NOW + 3700 * DAY
    assert [row.state for row in describe(fleet.path, late).rows] == [ENDED, ENDED]


def test_directory_without_its_key_is_an_error_and_no_row(fleet: FleetDirectory) -> None:
    (fleet.path / "pi1" / "key.pem").unlink()
    for path in (fleet.path, fleet.path / "pi1"):
        with pytest.raises(KeyMismatchError, match=r"pi1/key.pem is missing"):
            describe(path, NOW)

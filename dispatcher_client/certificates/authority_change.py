"""The change of a fleet's authority, in three steps between which directories are copied to machines.

    step                      leaves are by   machines trust   before the next step
    1 begin                   the old one     both             copy to every machine
    2 finish                  the new one     both             copy to every machine
    3 forget_old              the new one     the new one      copy when convenient

Between two steps some machines have the state before and some the one after, in any order; each accepts the other. A
step that was interrupted is done again.
"""

from __future__ import annotations

import shlex
from dataclasses import replace
from enum import Enum
from pathlib import Path

from dispatcher_client.certificates.authority import Authority
from dispatcher_client.certificates.authority_directory import Authorities, write_authorities
from dispatcher_client.certificates.credentials import Credentials, write_credentials
from dispatcher_client.certificates.errors import ChangeOrderError
from dispatcher_client.certificates.fleet_directory import FleetDirectory
from dispatcher_client.certificates.x509_profile import is_issued_by


class Step(str, Enum):
    """How far a fleet is in the change of its authority."""

    # One authority; no change is under way.
    SETTLED = "settled"
    # The new authority is made, and not every directory trusts both.
    BEGINNING = "beginning"
    # Every directory trusts both, leaves are by the old one; or `finish` was interrupted.
    BEGUN = "begun"
    # Leaves are by the new one, and directories trust both; or `forget_old` was interrupted.
    FINISHED = "finished"

    @property
    def text(self) -> str:
        """How tables say it."""
        return {
            Step.SETTLED: "none is under way",
            Step.BEGINNING: "step 1 of 3 was interrupted: not all directories trust the new authority",
            Step.BEGUN: "step 1 of 3 is done: certificates are by the old authority, and directories trust both",
            Step.FINISHED: "step 2 of 3 is done: certificates are by the new authority, and directories trust both",
        }[self]


def step_of(fleet: FleetDirectory) -> Step:
    """How far the fleet is. Raises: as `FleetDirectory.credentials`."""
    if fleet.authorities.old is not None:
        return Step.FINISHED
    if fleet.authorities.next is None:
        return Step.SETTLED
    return Step.BEGUN if not _not_trusting_all(fleet) else Step.BEGINNING


def what_next(fleet: FleetDirectory) -> str:
    """What to do, ending with the command; empty where nothing is to be done. Raises: as `FleetDirectory.credentials`."""
    command = _rotate(fleet)
    copy = "copy every directory but authority/ to its machine, then:"
    soon = fleet.ending_soon()
    return {
        Step.SETTLED: f"renew {', '.join(soon)} and copy what is named to its machine: {command}" if soon else "",
        Step.BEGINNING: f"do the step that was interrupted again: {command} --authority",
        Step.BEGUN: f"{copy} {command} --authority --finish",
        Step.FINISHED: f"{copy} {command} --forget-old",
    }[step_of(fleet)]


def begin(fleet: FleetDirectory) -> dict[str, Path]:
    """Step 1: makes a new authority and has every directory trust both; leaves stay. Its directories by name.

    Raises: ChangeOrderError: the change before was not ended. As `FleetDirectory.credentials`.
    """
    if fleet.authorities.old is not None:
        raise ChangeOrderError(
            "the last change of authority has not been ended. First copy every directory to its machine, then: "
            f"{_rotate(fleet)} --forget-old"
        )
    had = _all(fleet)
    if fleet.authorities.next is None:
        following = Authority.new(fleet.authorities.current.fleet, fleet.now)
        _put(fleet, replace(fleet.authorities, next=following))
    return _trust(fleet, had)


def finish(fleet: FleetDirectory, *, days: int | None = None) -> dict[str, Path]:
    """Step 2: makes every certificate anew by the new authority; machines still trust both. Its directories by name.

    Args: days: of life. (default: each as long as it had)
    Raises: ChangeOrderError: `begin` was not called, or interrupted. LifeRefusedError. As `FleetDirectory.credentials`.
    """
    authorities = fleet.authorities
    if step_of(fleet) is Step.BEGINNING or (authorities.next is None and authorities.old is None):
        raise ChangeOrderError(
            "no new authority is trusted by every machine yet. First: "
            f"{_rotate(fleet)} --authority, and copy every directory to its machine"
        )
    had = _all(fleet)
    if authorities.next is not None:
        lives = {name: found.days if days is None else days for name, found in had.items()}
        for life in lives.values():
            authorities.next.require_life(life, fleet.now)
        others = (authorities.current.certificate,)
        for name, found in had.items():
            if not is_issued_by(found.certificate, authorities.next.certificate):  # else an interrupted call made it
                made = authorities.next.issue(found.holder, days=lives[name], now=fleet.now, also_trusted=others)
                write_credentials(fleet.path / name, made)
        _put(fleet, Authorities(authorities.next, old=authorities.current.certificate))
    return {name: fleet.path / name for name in had}


def forget_old(fleet: FleetDirectory) -> dict[str, Path]:
    """Step 3: has every directory trust the new authority only. Its directories by name.

    Raises: ChangeOrderError: `finish` was not called, or a certificate of the old authority is left. As
        `FleetDirectory.credentials`.
    """
    if fleet.authorities.old is None:
        raise ChangeOrderError(f"{fleet.path} has no old authority to forget.")
    had = _all(fleet)
    current = fleet.authorities.current.certificate
    left = [name for name, found in had.items() if not is_issued_by(found.certificate, current)]
    if left:
        raise ChangeOrderError(
            f"the certificates of {', '.join(left)} are still by the old authority. First: "
            f"{_rotate(fleet)} {' '.join(left)}, and copy what it names to its machine"
        )
    settled = Authorities(fleet.authorities.current)
    placed = _trust(fleet, had, settled)
    _put(fleet, settled)
    return placed


def _trust(
    fleet: FleetDirectory, had: dict[str, Credentials], authorities: Authorities | None = None
) -> dict[str, Path]:
    trusted = (authorities or fleet.authorities).trusted
    for name, found in had.items():
        if set(found.authorities) != set(trusted):
            write_credentials(fleet.path / name, replace(found, authorities=trusted))
    return {name: fleet.path / name for name in had}


def _put(fleet: FleetDirectory, authorities: Authorities) -> None:
    write_authorities(fleet.path, authorities)
    fleet.authorities = authorities


def _all(fleet: FleetDirectory) -> dict[str, Credentials]:
    return {name: fleet.credentials(name) for name in fleet.names}


def _not_trusting_all(fleet: FleetDirectory) -> list[str]:
    trusted = set(fleet.authorities.trusted)
    return [name for name, found in _all(fleet).items() if not trusted <= set(found.authorities)]


def _rotate(fleet: FleetDirectory) -> str:
    return f"python -m dispatcher_client certs rotate {shlex.quote(str(fleet.path))}"

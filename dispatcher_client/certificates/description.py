"""What `certs show` tells: certificates as rows, the step of a change of authority, and what to do next."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import x509

from dispatcher_client.certificates.authority_change import Step, step_of, what_next
from dispatcher_client.certificates.credentials import Credentials, holds_credentials, read_credentials
from dispatcher_client.certificates.fleet_directory import SOON, FleetDirectory, utc_now
from dispatcher_client.certificates.x509_profile import fleet_of, short_id

GOOD, ENDS_SOON, ENDED = "good", "ends soon", "ended"


@dataclass(frozen=True)
class Row:
    """A certificate, of a holder or of an authority.

    Attributes:
        authority: the first digits of the SHA-256 of the authority that issued it; of an authority, its own.
        days_left: whole days; negative once it has ended.
        state: GOOD, ENDS_SOON (30 days or less) or ENDED.
    """

    name: str
    kind: str
    rights: tuple[str, ...]
    addresses: tuple[str, ...]
    authority: str
    ends: datetime
    days_left: int
    state: str

    @property
    def marked_end(self) -> str:
        """The day of the end, and whether to do something about it."""
        return f"{self.ends:%Y-%m-%d}" if self.state == GOOD else f"{self.ends:%Y-%m-%d} ({self.state})"

    def as_json(self) -> dict[str, Any]:
        """For scripts; the end as ISO 8601 in UTC."""
        lists = {"rights": list(self.rights), "addresses": list(self.addresses)}
        return {**vars(self), **lists, "ends": self.ends.isoformat()}


@dataclass(frozen=True)
class Description:
    """A fleet's directory, or one credentials directory.

    Attributes:
        step: of a change of authority; None of a single credentials directory.
        next: what to do; empty where nothing is to be done.
    """

    fleet: str
    rows: tuple[Row, ...]
    step: Step | None
    next: str

    @property
    def change(self) -> str:
        """How far a change of authority is; empty where none is under way."""
        return "" if self.step in (None, Step.SETTLED) else self.step.text

    @property
    def has_ended(self) -> bool:
        """Whether a certificate has ended."""
        return any(row.state == ENDED for row in self.rows)

    def as_json(self) -> dict[str, Any]:
        """For scripts."""
        step = None if self.step is None else self.step.value
        rows = [row.as_json() for row in self.rows]
        return {"fleet": self.fleet, "step": step, "next": self.next or None, "certificates": rows}


def describe(directory: Path, now: datetime | None = None) -> Description:
    """Describes a fleet's directory or one credentials directory. Raises: CertificatesError."""
    now = utc_now() if now is None else now
    if holds_credentials(directory):
        found = read_credentials(directory)
        trusted = [_authority_row("authority", authority, now) for authority in found.authorities]
        return Description(fleet_of(found.issuer), (*trusted, _row(found, now)), None, "")
    fleet = FleetDirectory(directory, now)
    authorities = fleet.authorities
    rows = [_authority_row("authority", authorities.current.certificate, now)]
    if authorities.next is not None:
        rows.append(_authority_row("next authority", authorities.next.certificate, now))
    if authorities.old is not None:
        rows.append(_authority_row("old authority", authorities.old, now))
    rows += [_row(fleet.credentials(name), now) for name in fleet.names]
    return Description(authorities.current.fleet, tuple(rows), step_of(fleet), what_next(fleet))


def _row(credentials: Credentials, now: datetime) -> Row:
    holder = credentials.holder
    rights = tuple(right.value for right in holder.right.included)
    issuer = short_id(credentials.issuer)
    return Row(
        holder.name,
        holder.kind.value,
        rights,
        holder.addresses,
        issuer,
        credentials.ends,
        *_left(credentials.ends, now),
    )


def _authority_row(name: str, authority: x509.Certificate, now: datetime) -> Row:
    ends = authority.not_valid_after_utc
    return Row(name, "authority", (), (), short_id(authority), ends, *_left(ends, now))


def _left(ends: datetime, now: datetime) -> tuple[int, str]:
    left = ends - now
    state = ENDED if left < timedelta(0) else ENDS_SOON if left <= SOON else GOOD
    return left // timedelta(days=1), state

"""A fleet's directory on the machine of its authority: DIR/authority, and one credentials directory for each machine."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from pathlib import Path

from bundle.building import make_directories
from dispatcher_client.certificates.authority import LEAF_DAYS, Authority
from dispatcher_client.certificates.authority_directory import Authorities, read_authorities, write_authorities
from dispatcher_client.certificates.credentials import (
    Credentials,
    holds_credentials,
    read_credentials,
    write_credentials,
)
from dispatcher_client.certificates.errors import (
    CertificatesError,
    ForeignCertificateError,
    NameTakenError,
    UnknownNameError,
)
from dispatcher_client.certificates.files import clear_leftovers, disk_errors, leftovers, only_writer
from dispatcher_client.certificates.holder import Holder
from dispatcher_client.certificates.names import AUTHORITY_DIRECTORY
from dispatcher_client.certificates.x509_profile import is_issued_by

SOON = timedelta(days=30)


def utc_now() -> datetime:
    """The time as certificates have it: UTC, whole seconds."""
    return datetime.now(timezone.utc).replace(microsecond=0)


class FleetDirectory:
    """A fleet's directory, open for one command.

    with FleetDirectory.opened(path) as fleet:
        fleet.issue([Holder.board("pi1", ["10.0.0.11"])])

    Attributes: now: the time of the command; every certificate of it begins then.
    """

    def __init__(self, path: Path, now: datetime | None = None) -> None:
        """To read. Raises: NoAuthorityError, UnreadableError, KeyMismatchError, AccessError."""
        self.path = path
        self.now = utc_now() if now is None else now
        self.authorities = read_authorities(path)

    @classmethod
    @contextmanager
    def opened(cls, path: Path, now: datetime | None = None) -> Iterator[FleetDirectory]:
        """To write; one at a time. Raises: as to read; AccessError: another command writes."""
        if not leftovers(path):
            read_authorities(path)  # because no lock is to be left in a directory of something else
        with only_writer(path):
            clear_leftovers(path)
            yield cls(path, now)

    @classmethod
    def make(cls, path: Path, fleet: str, now: datetime | None = None) -> FleetDirectory:
        """Makes a fleet's directory with a new authority. Raises: NameRefusedError, NameTakenError, AccessError."""
        authority = Authority.new(fleet, utc_now() if now is None else now)
        with disk_errors(path, "made"):
            make_directories(path.absolute())
        with only_writer(path):
            if (path / AUTHORITY_DIRECTORY).exists():
                raise NameTakenError(
                    f"{path / AUTHORITY_DIRECTORY} exists already. Take another directory for another fleet, or renew this one's "
                    f"authority: python -m dispatcher_client certs rotate {path} --authority"
                )
            write_authorities(path, Authorities(authority))
        return cls(path, now)

    @property
    def names(self) -> list[str]:
        """Who has credentials here."""
        with disk_errors(self.path, "read"):
            found = [entry.name for entry in self.path.iterdir() if holds_credentials(entry)]
        return sorted(name for name in found if not name.startswith("."))  # hidden ones are being written

    def credentials(self, name: str) -> Credentials:
        """What one machine has. Raises: UnknownNameError; ForeignCertificateError: of another fleet; as `read_credentials`."""
        if not holds_credentials(self.path / name):
            raise UnknownNameError(
                f"nobody in {self.path} is called {name}. Known are: {', '.join(self.names) or 'none yet'}."
            )
        found = read_credentials(self.path / name)
        if not any(is_issued_by(found.certificate, authority) for authority in self.authorities.trusted):
            raise ForeignCertificateError(
                f"the certificate in {self.path / name} is of another fleet: no authority of {self.authorities.current.fleet} "
                "issued it. Remove the directory, and issue a certificate."
            )
        if found.holder.name != name:
            raise ForeignCertificateError(
                f"{self.path / name} holds the certificate of {found.holder.name}. Call the directory so."
            )
        return found

    def issue(self, holders: Sequence[Holder], *, days: int = LEAF_DAYS, replace: bool = False) -> dict[str, Path]:
        """Makes credentials for boards and clients; their directories by name.

        Args: replace: what a name has had is replaced.
        Raises: NameTakenError: without `replace`. LifeRefusedError. AccessError. Nothing is written before all is checked.
        """
        self.authorities.current.require_life(days, self.now)
        for holder in holders:
            place = self.path / holder.name
            if place.exists() and not holds_credentials(place):
                raise NameTakenError(f"{place} exists and holds no certificate. Move it away, or take another name.")
            if place.exists() and not replace:
                raise NameTakenError(f"{self._described(holder.name)} To make new ones in their place, say --replace.")
        for holder in holders:
            self._write(holder, days)
        return {holder.name: self.path / holder.name for holder in holders}

    def missing(self, holders: Iterable[Holder]) -> list[Holder]:
        """Those that have no credentials which say as much; damaged ones and those of another fleet do not count."""
        return [holder for holder in holders if not self._has(holder)]

    def ending_soon(self) -> list[str]:
        """Whose certificate has ended or ends within 30 days. Raises: as `credentials`."""
        return [name for name in self.names if self.credentials(name).ends - self.now <= SOON]

    def renew(self, names: Iterable[str], *, days: int | None = None) -> dict[str, Path]:
        """Makes new certificates with new keys that say what the present ones say; their directories by name.

        Args: days: of life. (default: each as long as it had)
        Raises: as `credentials`; LifeRefusedError, AccessError. Nothing is written before all is checked.
        """
        had = {name: self.credentials(name) for name in names}
        lives = {name: found.days if days is None else days for name, found in had.items()}
        for life in lives.values():
            self.authorities.current.require_life(life, self.now)
        for name, found in had.items():
            self._write(found.holder, lives[name])
        return {name: self.path / name for name in had}

    def _has(self, holder: Holder) -> bool:
        try:
            return self.credentials(holder.name).holder.covers(holder)
        except CertificatesError:
            return False

    def _write(self, holder: Holder, days: int) -> None:
        made = self.authorities.current.issue(holder, days=days, now=self.now, also_trusted=self.authorities.others)
        write_credentials(self.path / holder.name, made)

    def _described(self, name: str) -> str:
        try:
            holder = self.credentials(name).holder
            kind = f"a {holder.kind.value} ({', '.join(holder.addresses) or holder.right.value})"
        except CertificatesError:
            kind = "something damaged, or of another fleet"
        return f"the name {name} is taken by {kind}, whose credentials are in {self.path / name}."

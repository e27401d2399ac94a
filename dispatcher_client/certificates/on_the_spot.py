"""A whole fleet's certificates in one call, for tests, demos and benchmarks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from os import PathLike
from pathlib import Path

from dispatcher_client.certificates import authority_directory, credentials
from dispatcher_client.certificates.authority import LEAF_DAYS, Authority
from dispatcher_client.certificates.authority_directory import Authorities
from dispatcher_client.certificates.files import make_directory
from dispatcher_client.certificates.fleet_directory import utc_now
from dispatcher_client.certificates.holder import Holder
from dispatcher_client.certificates.names import AUTHORITY_DIRECTORY
from transport.credentials import Right


def make_fleet(
    directory: str | PathLike[str],
    boards: Mapping[str, Sequence[str]],
    clients: Mapping[str, Right | str],
    *,
    fleet: str = "fleet",
    days: int = LEAF_DAYS,
    now: datetime | None = None,
) -> dict[str, Path]:
    """Makes an authority in a directory and issues a certificate to each; the credentials directories by name.

    They are what `certs` makes, but for the syncs to the disk, which would take most of the time.

    make_fleet(tmp, {"pi1": ["127.0.0.1"]}, {"camera": "stream", "laptop": "operate"})["pi1"] / "key.pem"

    Args:
        boards: IP addresses and host names of each board, without ports.
        clients: "stream" or "operate" for each.
        now: when they begin, aware, in UTC; a past one makes certificates that have ended. (default: now)
    Raises: CertificatesError: a name or an address that is none; the directory has an authority already.
    """
    holders = [Holder.board(name, addresses) for name, addresses in boards.items()]
    holders += [Holder.client(name, right) for name, right in clients.items()]
    now = utc_now() if now is None else now
    authority = Authority.new(fleet, now)
    issued = [authority.issue(holder, days=days, now=now) for holder in holders]
    directory = Path(directory)
    make_directory(directory / AUTHORITY_DIRECTORY, authority_directory.files_of(Authorities(authority)))
    for made in issued:
        make_directory(directory / made.holder.name, credentials.files_of(made))
    return {made.holder.name: directory / made.holder.name for made in issued}

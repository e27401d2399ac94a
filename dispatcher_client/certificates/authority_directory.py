"""DIR/authority: who issues a fleet's certificates, and during a change of authority the next or the last one, too."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cryptography import x509

from dispatcher_client.certificates.authority import Authority
from dispatcher_client.certificates.errors import KeyMismatchError, NoAuthorityError
from dispatcher_client.certificates.files import read_directory, write_directory
from dispatcher_client.certificates.names import AUTHORITY_DIRECTORY
from dispatcher_client.certificates.pem import certificates_pem, key_pem, parse_certificates, parse_key

_CERTIFICATE, _KEY = "authority.pem", "authority-key.pem"
_NEXT_CERTIFICATE, _NEXT_KEY = "next-authority.pem", "next-authority-key.pem"
_OLD_CERTIFICATE = "old-authority.pem"


@dataclass(frozen=True)
class Authorities:
    """The authorities of a fleet; at most one of `next` and `old` is there.

    Attributes:
        current: issues certificates.
        next: will do so when the change is finished; machines come to trust it before.
        old: did so before; it signs nothing any more, and its key is gone.
    """

    current: Authority
    next: Authority | None = None
    old: x509.Certificate | None = None

    @property
    def others(self) -> tuple[x509.Certificate, ...]:
        """Those besides the current one that machines must trust."""
        others = (None if self.next is None else self.next.certificate, self.old)
        return tuple(certificate for certificate in others if certificate is not None)

    @property
    def trusted(self) -> tuple[x509.Certificate, ...]:
        """All that machines must trust."""
        return (self.current.certificate, *self.others)


def read_authorities(fleet_directory: Path) -> Authorities:
    """Raises: NoAuthorityError, UnreadableError, KeyMismatchError, AccessError."""
    directory = fleet_directory / AUTHORITY_DIRECTORY
    if not (directory / _CERTIFICATE).is_file():
        raise NoAuthorityError(
            f"{fleet_directory} holds no authority: {directory / _CERTIFICATE} does not exist. "
            f"Make one: python -m dispatcher_client certs init {fleet_directory} --fleet NAME"
        )
    files = read_directory(directory, (_CERTIFICATE, _KEY), (_NEXT_CERTIFICATE, _NEXT_KEY, _OLD_CERTIFICATE))
    (old,) = parse_certificates(files[_OLD_CERTIFICATE], directory) if _OLD_CERTIFICATE in files else (None,)
    return Authorities(
        _authority(files, directory, _CERTIFICATE, _KEY),
        _authority(files, directory, _NEXT_CERTIFICATE, _NEXT_KEY) if _NEXT_CERTIFICATE in files else None,
        old,
    )


def write_authorities(fleet_directory: Path, authorities: Authorities) -> None:
    """Writes them at once: who is killed leaves those of before or these. Raises: AccessError."""
    write_directory(fleet_directory / AUTHORITY_DIRECTORY, files_of(authorities))


def files_of(authorities: Authorities) -> dict[str, bytes]:
    """What DIR/authority holds, by name."""
    current, following, old = authorities.current, authorities.next, authorities.old
    files = {_CERTIFICATE: certificates_pem([current.certificate]), _KEY: key_pem(current.key)}
    if following is not None:
        files[_NEXT_CERTIFICATE] = certificates_pem([following.certificate])
        files[_NEXT_KEY] = key_pem(following.key)
    if old is not None:
        files[_OLD_CERTIFICATE] = certificates_pem([old])
    return files


def _authority(files: dict[str, bytes], directory: Path, certificate_name: str, key_name: str) -> Authority:
    certificate = parse_certificates(files[certificate_name], directory / certificate_name)[0]
    if key_name not in files:
        raise KeyMismatchError(f"{directory / key_name} is missing: without it nothing can be issued.")
    return Authority(certificate, parse_key(files[key_name], certificate, directory / key_name))

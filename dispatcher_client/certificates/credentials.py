"""What one machine has: its certificate with its key, and the authorities that it trusts."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from dispatcher_client.certificates.errors import ForeignCertificateError
from dispatcher_client.certificates.files import read_directory, write_directory
from dispatcher_client.certificates.holder import Holder
from dispatcher_client.certificates.pem import certificates_pem, key_pem, parse_certificates, parse_key
from dispatcher_client.certificates.x509_profile import CLOCK_LAG, holder_of, is_issued_by
from transport.credentials import AUTHORITY, CERTIFICATE, KEY


@dataclass(frozen=True)
class Credentials:
    """Attributes: authorities: whom the machine trusts; one of them has issued the certificate."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey = field(repr=False)
    authorities: tuple[x509.Certificate, ...]
    holder: Holder

    @property
    def issuer(self) -> x509.Certificate:
        """Which of the authorities issued the certificate."""
        return next(a for a in self.authorities if is_issued_by(self.certificate, a))

    @property
    def ends(self) -> datetime:
        """The last second, in UTC."""
        return self.certificate.not_valid_after_utc

    @property
    def days(self) -> int:
        """For how many days it was issued."""
        return round((self.ends - self.certificate.not_valid_before_utc - CLOCK_LAG).total_seconds() / 86400)


def holds_credentials(directory: Path) -> bool:
    """Whether this is meant to be a credentials directory."""
    return (directory / CERTIFICATE).is_file()


def read_credentials(directory: Path) -> Credentials:
    """Reads a credentials directory as of one moment, and checks that its files belong together.

    Raises:
        UnreadableError: a file is missing or is something else. AccessError.
        KeyMismatchError: the key is missing, or another certificate's.
        ForeignCertificateError: no authority of the directory has issued the certificate, or it names no right.
    """
    files = read_directory(directory, (CERTIFICATE, KEY, AUTHORITY))
    certificate = parse_certificates(files[CERTIFICATE], directory / CERTIFICATE)[0]
    authorities = tuple(parse_certificates(files[AUTHORITY], directory / AUTHORITY))
    if not any(is_issued_by(certificate, authority) for authority in authorities):
        raise ForeignCertificateError(
            f"{directory / CERTIFICATE} was not issued by an authority in {directory / AUTHORITY}. "
            "Copy the whole directory again, from the machine of the authority."
        )
    key = parse_key(files[KEY], certificate, directory / KEY)
    return Credentials(certificate, key, authorities, holder_of(certificate))


def write_credentials(directory: Path, credentials: Credentials) -> None:
    """Writes a credentials directory; who reads sees the old one whole or the new one whole. Raises: AccessError."""
    write_directory(directory, files_of(credentials))


def files_of(credentials: Credentials) -> dict[str, bytes]:
    """What a credentials directory holds, by name."""
    return {
        CERTIFICATE: certificates_pem([credentials.certificate]),
        KEY: key_pem(credentials.key),
        AUTHORITY: certificates_pem(credentials.authorities),
    }

"""Certificates and private keys as the text of files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from dispatcher_client.certificates.errors import KeyMismatchError, UnreadableError


def certificates_pem(certificates: Sequence[x509.Certificate]) -> bytes:
    """One certificate after the other."""
    return b"".join(certificate.public_bytes(Encoding.PEM) for certificate in certificates)


def key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    """A private key as PKCS#8, which every TLS library reads."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def parse_certificates(data: bytes, path: Path) -> list[x509.Certificate]:
    """At least one. Args: path: for errors. Raises: UnreadableError."""
    try:
        return x509.load_pem_x509_certificates(data)
    except ValueError as error:
        raise UnreadableError(f"{path} holds no certificates in PEM form: {error}") from error


def parse_key(data: bytes, certificate: x509.Certificate, path: Path) -> ec.EllipticCurvePrivateKey:
    """The certificate's private key. Args: path: for errors. Raises: UnreadableError, KeyMismatchError."""
    try:
        key = load_pem_private_key(data, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):  # the cause is not chained: it may quote the file
        raise UnreadableError(f"{path} holds no private key in PEM form without a password.") from None
    if not isinstance(key, ec.EllipticCurvePrivateKey) or _public(key.public_key()) != _public(
        certificate.public_key()
    ):
        raise KeyMismatchError(
            f"{path} is not the key of the certificate beside it. Copy the whole directory again, from the machine of the "
            "authority."
        )
    return key


def _public(key: object) -> bytes:
    encoded: bytes = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)  # type: ignore[attr-defined]
    return encoded

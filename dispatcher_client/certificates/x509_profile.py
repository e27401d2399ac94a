"""What the certificates of a fleet say, and how it is read back: ECDSA P-256, X.509 version 3 (RFC 5280)."""

from __future__ import annotations

import ipaddress
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from dispatcher_client.certificates.errors import ForeignCertificateError
from dispatcher_client.certificates.holder import Holder, Kind
from dispatcher_client.certificates.names import AUTHORITY_PREFIX, is_ip
from transport.credentials import Right

# Boards without a clock of their own start with the time of their last shutdown, until the network tells them.
CLOCK_LAG = timedelta(minutes=5)
_FINGERPRINT_DIGITS = 8


def new_key() -> ec.EllipticCurvePrivateKey:
    """A private key."""
    return ec.generate_private_key(ec.SECP256R1())


def authority_certificate(
    fleet: str, key: ec.EllipticCurvePrivateKey, now: datetime, end: datetime
) -> x509.Certificate:
    """A certificate that may sign leaves, and nothing that signs further."""
    subject = _named(f"{AUTHORITY_PREFIX}{fleet}")
    builder = _begun(subject, subject, key, key, now, end)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    return builder.add_extension(_key_usage(signs_certificates=True), critical=True).sign(key, hashes.SHA256())


def leaf_certificate(
    holder: Holder,
    key: ec.EllipticCurvePrivateKey,
    issuer: x509.Certificate,
    issuer_key: ec.EllipticCurvePrivateKey,
    now: datetime,
    end: datetime,
) -> x509.Certificate:
    """A board's or a client's certificate."""
    uses = [ExtendedKeyUsageOID.CLIENT_AUTH]
    if holder.kind is Kind.BOARD:
        uses.insert(0, ExtendedKeyUsageOID.SERVER_AUTH)
    names: list[x509.GeneralName] = [x509.DNSName(holder.name)]
    names += [x509.IPAddress(ipaddress.ip_address(h)) if is_ip(h) else x509.DNSName(h) for h in holder.addresses]
    names += [x509.UniformResourceIdentifier(right.uri) for right in holder.right.included]
    builder = _begun(_named(holder.name), issuer.subject, key, issuer_key, now, end)
    builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    builder = builder.add_extension(_key_usage(signs_certificates=False), critical=True)
    builder = builder.add_extension(x509.ExtendedKeyUsage(uses), critical=False)
    builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return builder.sign(issuer_key, hashes.SHA256())


def holder_of(certificate: x509.Certificate) -> Holder:
    """Who a leaf was made for. Raises: ForeignCertificateError: it does not say what leaves of a fleet say."""
    try:
        uses = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        uris = names.get_values_for_type(x509.UniformResourceIdentifier)
        right = max((right for right in Right if right.uri in uris), key=lambda right: len(right.included))
        name = common_name(certificate)
    except (x509.ExtensionNotFound, ValueError) as error:
        raise ForeignCertificateError(
            f"the certificate of {certificate.subject.rfc4514_string() or 'nobody'} is none that "
            "`python -m dispatcher_client certs issue` makes: it names no right."
        ) from error
    kind = Kind.BOARD if ExtendedKeyUsageOID.SERVER_AUTH in uses else Kind.CLIENT
    hosts = [str(n.value) for n in names if isinstance(n, (x509.DNSName, x509.IPAddress)) and n != x509.DNSName(name)]
    return Holder(name, kind, right, tuple(hosts))


def fleet_of(authority: x509.Certificate) -> str:
    """The name of the fleet whose authority this is. Raises: ForeignCertificateError."""
    name = common_name(authority)
    if not name.startswith(AUTHORITY_PREFIX):
        raise ForeignCertificateError(f"the certificate of {name} is no authority of a fleet.")
    return name[len(AUTHORITY_PREFIX) :]


def common_name(certificate: x509.Certificate) -> str:
    """What the certificate's subject is called. Raises: ForeignCertificateError: it has no such name."""
    names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    if not names:
        raise ForeignCertificateError("a certificate whose subject has no common name is none of a fleet.")
    return str(names[0].value)


def is_issued_by(certificate: x509.Certificate, authority: x509.Certificate) -> bool:
    """Whether the authority's key signed it; says nothing of dates."""
    try:
        certificate.verify_directly_issued_by(authority)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def short_id(certificate: x509.Certificate) -> str:
    """How tables tell two authorities of one fleet apart: the first digits of the certificate's SHA-256."""
    return certificate.fingerprint(hashes.SHA256()).hex()[:_FINGERPRINT_DIGITS]


def _begun(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    issuer_key: ec.EllipticCurvePrivateKey,
    now: datetime,
    end: datetime,
) -> x509.CertificateBuilder:
    issuer_id = x509.SubjectKeyIdentifier.from_public_key(issuer_key.public_key())
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - CLOCK_LAG)
        .not_valid_after(end)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(issuer_id),
            critical=False,
        )
    )


def _named(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )

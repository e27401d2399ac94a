"""What certificates say, as any X.509 reader sees it."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from dispatcher_client.certificates import make_fleet
from dispatcher_client.certificates.errors import ForeignCertificateError
from dispatcher_client.certificates.holder import Holder, Kind
from dispatcher_client.certificates.x509_profile import fleet_of, holder_of, is_issued_by, new_key
from transport.credentials import Right

NOW = datetime(2031, 5, 4, 3, 2, 1, tzinfo=timezone.utc)
STREAM, OPERATE = "urn:boardline:right:stream", "urn:boardline:right:operate"
SERVER, CLIENT = ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, x509.Certificate]:
    directory = tmp_path_factory.mktemp("fleet")
    boards = {"pi1": ["10.0.0.11", "pi1.local", "pi1", "FE80:0::1"]}
    make_fleet(directory, boards, {"camera": "stream", "laptop": Right.OPERATE}, fleet="green", days=7, now=NOW)
    paths: list[Path] = [*directory.glob("*/certificate.pem"), directory / "authority" / "authority.pem"]
    return {path.parent.name: x509.load_pem_x509_certificate(path.read_bytes()) for path in paths}


def extension(certificate: x509.Certificate, kind: type[x509.ExtensionType]) -> tuple[bool, x509.ExtensionType]:
    found = certificate.extensions.get_extension_for_class(kind)
    return found.critical, found.value


@pytest.mark.parametrize("name", ["pi1", "camera", "laptop", "authority"])
def test_every_certificate_is_version_3_ecdsa_p256_with_sha256(made: dict[str, x509.Certificate], name: str) -> None:
    certificate, authority = made[name], made["authority"]
    assert certificate.version is x509.Version.v3
    key = certificate.public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey)
    assert isinstance(key.curve, ec.SECP256R1)
    assert isinstance(certificate.signature_hash_algorithm, hashes.SHA256)
    assert certificate.not_valid_before_utc == NOW - timedelta(minutes=5)
    assert extension(certificate, x509.SubjectKeyIdentifier)[1] == x509.SubjectKeyIdentifier.from_public_key(key)
    issuer = extension(authority, x509.SubjectKeyIdentifier)[1]
    assert isinstance(issuer, x509.SubjectKeyIdentifier)
    identifier = x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(issuer)
    assert extension(certificate, x509.AuthorityKeyIdentifier)[1] == identifier
    assert certificate.issuer == authority.subject
    assert is_issued_by(certificate, authority)
    assert certificate.serial_number.bit_length() > 100


def test_serial_numbers_and_keys_are_all_different(made: dict[str, x509.Certificate]) -> None:
    assert len({certificate.serial_number for certificate in made.values()}) == len(made)
    assert len({certificate.public_key().public_numbers() for certificate in made.values()}) == len(made)  # type: ignore[union-attr]


def test_authority_signs_leaves_and_nothing_that_signs(made: dict[str, x509.Certificate]) -> None:
    authority = made["authority"]
    assert authority.subject.rfc4514_string() == "CN=boardline authority of green"
    assert extension(authority, x509.BasicConstraints) == (True, x509.BasicConstraints(ca=True, path_length=0))
    is_critical, usage = extension(authority, x509.KeyUsage)
    assert isinstance(usage, x509.KeyUsage)
    assert (is_critical, usage.key_cert_sign, usage.crl_sign, usage.digital_signature) == (True, True, True, False)
    assert authority.not_valid_after_utc - NOW == timedelta(days=3652)


@pytest.mark.parametrize(
    ("name", "uses", "hosts", "rights"),
    [
        ("pi1", [SERVER, CLIENT], ["10.0.0.11", "pi1.local", "fe80::1"], [STREAM]),
        ("camera", [CLIENT], [], [STREAM]),
        ("laptop", [CLIENT], [], [STREAM, OPERATE]),
    ],
)
def test_leaf_says_who_holds_it_and_what_they_may_do(
    made: dict[str, x509.Certificate], name: str, uses: list[object], hosts: list[str], rights: list[str]
) -> None:
    leaf = made[name]
    assert [a.value for a in leaf.subject.get_attributes_for_oid(NameOID.COMMON_NAME)] == [name]
    assert extension(leaf, x509.BasicConstraints) == (True, x509.BasicConstraints(ca=False, path_length=None))
    assert list(extension(leaf, x509.ExtendedKeyUsage)[1]) == uses  # type: ignore[call-overload]
    expected: list[x509.GeneralName] = [x509.DNSName(name)]
    expected += [x509.DNSName(h) if "local" in h else x509.IPAddress(ip_address(h)) for h in hosts]
    expected += [x509.UniformResourceIdentifier(right) for right in rights]
    assert list(extension(leaf, x509.SubjectAlternativeName)[1]) == expected  # type: ignore[call-overload]
    assert leaf.not_valid_after_utc - NOW == timedelta(days=7)
    kind = Kind.BOARD if SERVER in uses else Kind.CLIENT
    highest = Right.OPERATE if OPERATE in rights else Right.STREAM
    assert holder_of(leaf) == Holder(name, kind, highest, tuple(hosts))


def test_certificate_that_names_no_right_is_not_the_fleets(made: dict[str, x509.Certificate]) -> None:
    with pytest.raises(ForeignCertificateError, match="names no right"):
        holder_of(made["authority"])
    with pytest.raises(ForeignCertificateError, match="pi1 is no authority"):
        fleet_of(made["pi1"])
    key = new_key()
    nobody = x509.Name([])
    builder = x509.CertificateBuilder().subject_name(nobody).issuer_name(nobody).public_key(key.public_key())
    bare = builder.serial_number(1).not_valid_before(NOW).not_valid_after(NOW).sign(key, hashes.SHA256())
    with pytest.raises(ForeignCertificateError, match="no common name"):
        fleet_of(bare)
    assert not is_issued_by(made["pi1"], bare)

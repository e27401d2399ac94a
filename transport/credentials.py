"""What one machine shows its peers, whom it trusts, and what they may do with it: certificates in a directory."""

from __future__ import annotations

import contextlib
import enum
import logging
import os
import ssl
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from transport.errors import CredentialsError, PlaintextRefusedError

_log = logging.getLogger(__name__)

CERTIFICATE, KEY, AUTHORITY = "certificate.pem", "key.pem", "authority.pem"
# Where a directory is named that no argument names.
ENVIRONMENT_VARIABLE = "BOARDLINE_CREDENTIALS"
_ALPN = ["h2"]
# Of OpenSSL (X509_V_FLAG_NO_CHECK_TIME): a certificate that has ended can still be described.
_NO_CHECK_TIME = 0x200000
_DAY_S = 86_400.0
_WARN_S = 30 * _DAY_S
_MOST_ROUNDS = 4  # of a handshake in memory


class Right(str, enum.Enum):
    """What a certificate allows its holder on a board; it carries each right as a URI."""

    # Sends frames through boards, reads what boards are and hold.
    STREAM = "stream"
    # Also loads, unloads, measures and drains.
    OPERATE = "operate"

    @property
    def included(self) -> tuple[Right, ...]:
        """This right and those that it includes."""
        return (Right.STREAM,) if self is Right.STREAM else (Right.STREAM, Right.OPERATE)

    @property
    def uri(self) -> str:
        """How a certificate says it."""
        return f"urn:boardline:right:{self.value}"


@dataclass(frozen=True)
class Identity:
    """What a certificate of the fleet's authority says of its holder. `ends_s` is in seconds since 1970."""

    name: str
    rights: frozenset[Right]
    ends_s: float

    @classmethod
    def of(cls, certificate: Mapping[str, Any]) -> Identity:
        """From a certificate as `ssl` gives it. A right that this version does not know is none."""
        subject = dict(pair for names in certificate.get("subject", ()) for pair in names)
        uris = {value for kind, value in certificate.get("subjectAltName", ()) if kind == "URI"}
        return cls(
            subject.get("commonName", ""),
            frozenset(right for right in Right if right.uri in uris),
            float(ssl.cert_time_to_seconds(certificate["notAfter"])),
        )


@dataclass(frozen=True)
class Pem:
    """The texts of the three files, which fit each other."""

    certificate: bytes
    key: bytes = field(repr=False)
    authority: bytes


class Credentials:
    """The certificate, key and authority in a directory, read again when they change. Thread-safe.

    A rotation writes new files there; connections that are made from then on use them, and those that are open go on.
    """

    def __init__(self, directory: Path) -> None:
        """Raises: CredentialsError: files are missing, do not fit each other, or the certificate is not the authority's."""
        self.directory = directory
        self._lock = threading.Lock()
        self._stamp = self._stamp_now()
        self._current = _Loaded.read(directory)
        self._refused: object = None  # the state of files that could not be used, and were spoken of

    @property
    def identity(self) -> Identity:
        """What the own certificate says."""
        return self._fresh().identity

    @property
    def pem(self) -> Pem:
        """The files, for gRPC, which wants their texts."""
        return self._fresh().pem

    @property
    def client(self) -> ssl.SSLContext:
        """For connections to boards: who they are is checked, and this end shows its certificate."""
        return self._fresh().client

    @property
    def server(self) -> ssl.SSLContext:
        """For connections from clients and boards: only those of the fleet get in."""
        return self._fresh().server

    @property
    def https(self) -> ssl.SSLContext:
        """As `server`, for who speaks HTTP/1.1."""
        return self._fresh().https

    def warning(self) -> str | None:
        """What its holder must be told in the last days before it ends, and afterwards; None before them."""
        identity = self.identity
        left_s = identity.ends_s - time.time()
        if left_s > _WARN_S:
            return None
        when = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(identity.ends_s))
        how = (
            f"ends in {left_s / _DAY_S:.0f} days, on {when}" if left_s > 0 else f"has ended on {when}: peers refuse it"
        )
        return (
            f"the certificate of {identity.name} in {self.directory} {how}. Renew it with `python -m dispatcher_client certs "
            "rotate`, and copy the directory here; nothing need be restarted"
        )

    def __repr__(self) -> str:
        return f"<credentials of {self._current.identity.name} in {self.directory}>"

    def _fresh(self) -> _Loaded:
        stamp = self._stamp_now()
        if stamp == self._stamp:
            return self._current
        with self._lock:
            if stamp != self._stamp:
                try:
                    self._current, self._stamp = _Loaded.read(self.directory), stamp
                    _log.info("read new credentials from %s", self.directory)
                except CredentialsError as error:  # in the midst of being copied, perhaps: those in use go on
                    if stamp != self._refused:
                        self._refused = stamp
                        _log.warning("the credentials in use go on: %s", error)
            return self._current

    def _stamp_now(self) -> object:
        try:
            stats = [(self.directory / name).stat() for name in (CERTIFICATE, KEY, AUTHORITY)]
        except OSError:
            return None
        return [(s.st_ino, s.st_mtime_ns, s.st_size) for s in stats]


@dataclass(frozen=True)
class _Loaded:
    pem: Pem
    identity: Identity
    client: ssl.SSLContext
    server: ssl.SSLContext
    https: ssl.SSLContext

    @classmethod
    def read(cls, directory: Path) -> _Loaded:
        try:
            pem = Pem(*((directory / name).read_bytes() for name in (CERTIFICATE, KEY, AUTHORITY)))
        except OSError as error:
            raise CredentialsError(
                f"{directory} has no credentials: {error.strerror}: {Path(error.filename or directory).name}. Expected "
                f"{CERTIFICATE}, {KEY} and {AUTHORITY}, as `python -m dispatcher_client certs issue` writes them."
            ) from error
        try:
            client = _context(directory, pem, is_server=False)
            server, https = (_context(directory, pem, is_server=True) for _ in range(2))
            for context in (client, server):
                context.set_alpn_protocols(_ALPN)
            identity = _own_identity(directory, pem)
        except (ssl.SSLError, ValueError) as error:
            reason = getattr(error, "verify_message", None) or getattr(error, "reason", None) or error
            said = str(reason).replace("_", " ").lower()
            raise CredentialsError(
                f"the credentials in {directory} cannot be used: {said}. The key must be the certificate's, and the "
                "certificate one of the authority's. Copy the directory anew from where it was issued."
            ) from error
        return cls(pem, identity, client, server, https)


def _context(directory: Path, pem: Pem, *, is_server: bool) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if is_server else ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_verify_locations(cadata=pem.authority.decode("ascii"))
    context.load_cert_chain(directory / CERTIFICATE, directory / KEY, password=_no_password)
    context.verify_mode = ssl.CERT_REQUIRED
    context.check_hostname = not is_server
    if is_server:
        context.num_tickets = 0  # streams live long; nothing is resumed, and so nothing can be replayed
    return context


def _no_password() -> str:
    raise ValueError("the key is encrypted, and nobody is there to be asked for its password")


def _own_identity(directory: Path, pem: Pem) -> Identity:
    """What a server is told in a handshake, which is done with ourselves in memory: `ssl` describes certificates of peers only."""
    server = _context(directory, pem, is_server=True)
    server.verify_flags |= _NO_CHECK_TIME
    client = _context(directory, pem, is_server=False)
    client.check_hostname, client.verify_mode = False, ssl.CERT_NONE
    here, there = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = client.wrap_bio(here, there), server.wrap_bio(there, here, server_side=True)
    for _ in range(_MOST_ROUNDS):
        for end in ends:
            with contextlib.suppress(ssl.SSLWantReadError):
                end.do_handshake()
    return Identity.of(ends[1].getpeercert() or {})


def choose_credentials(
    directory: str | os.PathLike[str] | None, insecure: bool, *, option: str = "--credentials"
) -> Credentials | None:
    """What to speak with peers: credentials, or None for plaintext, which must be asked for by name; the log is warned of the
    latter, and of a certificate that ends soon.

    Args: directory: None for the one that the environment names. option: how the caller gives the directory.
    Raises: CredentialsError: as `Credentials`, or both were asked for. PlaintextRefusedError: neither was.
    """
    if insecure:
        if directory is not None:
            raise CredentialsError(f"{option} and plaintext exclude each other. Choose one.")
        _log.warning("plaintext was asked for: whoever is on the network can read and change tensors and load models")
        return None
    chosen = directory if directory is not None else os.environ.get(ENVIRONMENT_VARIABLE)
    if not chosen:
        raise PlaintextRefusedError(
            f"no credentials: boards and their clients show each other certificates. Make them with `python -m "
            f"dispatcher_client certs init`, and give their directory as {option} or in {ENVIRONMENT_VARIABLE}; or ask for "
            "plaintext by name (--insecure, insecure=True): anyone who reaches the ports can then read and change tensors and "
            "load models."
        )
    credentials = Credentials(Path(chosen))
    warning = credentials.warning()
    if warning is not None:
        _log.warning("%s", warning)
    return credentials

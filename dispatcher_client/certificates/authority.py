"""An authority: the key that signs a fleet's certificates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from dispatcher_client.certificates.credentials import Credentials
from dispatcher_client.certificates.errors import LifeRefusedError
from dispatcher_client.certificates.holder import Holder
from dispatcher_client.certificates.names import require_fleet_name
from dispatcher_client.certificates.x509_profile import authority_certificate, fleet_of, leaf_certificate, new_key

AUTHORITY_DAYS = 3652  # ten years
LEAF_DAYS = 365


@dataclass(frozen=True)
class Authority:
    """A certificate that leaves are signed for, and its key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey = field(repr=False)

    @classmethod
    def new(cls, fleet: str, now: datetime) -> Authority:
        """An authority with a key of its own. Raises: NameRefusedError."""
        key = new_key()
        end = now + timedelta(days=AUTHORITY_DAYS)
        return cls(authority_certificate(require_fleet_name(fleet), key, now, end), key)

    @property
    def fleet(self) -> str:
        """The name of its fleet."""
        return fleet_of(self.certificate)

    def require_life(self, days: int, now: datetime) -> datetime:
        """When a certificate of so many days will end. Raises: LifeRefusedError: it is none, or outlasts the authority."""
        ends = self.certificate.not_valid_after_utc
        most = (ends - now) // timedelta(days=1)
        if most < 1:
            raise LifeRefusedError(
                f"the authority of {self.fleet} ends on {ends:%Y-%m-%d}; it cannot issue certificates any more. "
                "Begin a new one: python -m dispatcher_client certs rotate DIR --authority"
            )
        if not 1 <= days <= most:
            raise LifeRefusedError(
                f"{days} days are out of range: the authority of {self.fleet} ends on {ends:%Y-%m-%d}. Give --days from 1 to "
                f"{most}, or begin a new authority: python -m dispatcher_client certs rotate DIR --authority"
            )
        return now + timedelta(days=days)

    def issue(
        self, holder: Holder, *, days: int, now: datetime, also_trusted: Sequence[x509.Certificate] = ()
    ) -> Credentials:
        """A certificate with a new key for a board or a client. Raises: LifeRefusedError."""
        ends = self.require_life(days, now)
        key = new_key()
        certificate = leaf_certificate(holder, key, self.certificate, self.key, now, ends)
        return Credentials(certificate, key, (self.certificate, *also_trusted), holder)

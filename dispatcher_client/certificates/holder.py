"""Who a certificate is for, and what they may do."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

from dispatcher_client.certificates.names import is_ip, parse_host, require_name
from transport.credentials import Right


class Kind(str, Enum):
    """A board serves and connects; a client only connects."""

    BOARD = "board"
    CLIENT = "client"


@dataclass(frozen=True)
class Holder:
    """A board or a client, as its certificate names it.

    Attributes:
        right: the highest that it has.
        addresses: IP addresses and host names at which a board is reached, besides its name.
    """

    name: str
    kind: Kind
    right: Right
    addresses: tuple[str, ...] = ()

    @classmethod
    def board(cls, name: str, addresses: Iterable[str]) -> Holder:
        """A board; it may stream, since it passes frames on. Raises: NameRefusedError, HostRefusedError."""
        hosts = dict.fromkeys(parse_host(address) for address in addresses)
        # Certificates hold the name as a host name, so an IP address that is a board's name is listed, too.
        others = tuple(host for host in hosts if host != name or is_ip(host))
        return cls(require_name(name), Kind.BOARD, Right.STREAM, others)

    @classmethod
    def client(cls, name: str, right: Right | str) -> Holder:
        """An application or an operator. Raises: NameRefusedError, ValueError: no such right."""
        return cls(require_name(name), Kind.CLIENT, Right(right))

    def covers(self, other: Holder) -> bool:
        """Whether a certificate for this one does for the other one, too."""
        same = (self.name, self.kind, self.right) == (other.name, other.kind, other.right)
        return same and set(other.addresses) <= set(self.addresses)

"""Addresses: HOST:PORT, and whether plaintext may be spoken there."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

from transport.errors import AddressError, PlaintextRefusedError


@dataclass(frozen=True)
class Address:
    """A host (name, IPv4, or IPv6 without brackets) and a port."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> Address:
        """Reads "10.0.0.11:50051", "pi1.local:50051" or "[fe80::1]:50051". Raises: AddressError."""
        host, separator, port = text.strip().rpartition(":")
        bracketed = host.startswith("[") and host.endswith("]")
        name = host[1:-1] if bracketed else host
        if not separator or not name or not _is_port(port) or (":" in host and not bracketed):
            raise AddressError(f"{text!r} is not HOST:PORT. Write 10.0.0.11:50051, pi1.local:50051 or [fe80::1]:50051.")
        return cls(name, int(port))

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    @property
    def data_plane(self) -> Address:
        """Where a board takes frames: the port after its control plane's."""
        return Address(self.host, self.port + 1)

    @property
    def is_loopback(self) -> bool:
        """Whether traffic to this address stays on this machine."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False


def require_plaintext_allowed(address: Address, insecure: bool) -> None:
    """Raises PlaintextRefusedError for an address off loopback, unless plaintext was asked for by name."""
    if not address.is_loopback and not insecure:
        raise PlaintextRefusedError(
            f"refusing to speak plaintext with {address}, which is not loopback: anyone on the network could read and change "
            "tensors and load models. Bind to 127.0.0.1, or say --insecure on a network that you trust."
        )


def _is_port(text: str) -> bool:
    # isdigit() alone takes superscripts, and int() takes no number of thousands of digits.
    return text.isascii() and text.isdigit() and len(text) <= 5 and int(text) <= 65535

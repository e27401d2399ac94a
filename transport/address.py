"""Addresses: HOST:PORT."""

from __future__ import annotations

from dataclasses import dataclass

from transport.errors import AddressError


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


def _is_port(text: str) -> bool:
    # isdigit() alone takes superscripts, and int() takes no number of thousands of digits.
    return text.isascii() and text.isdigit() and len(text) <= 5 and int(text) <= 65535

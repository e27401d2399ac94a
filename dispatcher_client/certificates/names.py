"""What a board, a client, a fleet and a host may be called in a certificate."""

from __future__ import annotations

import ipaddress
import re

from dispatcher_client.certificates.errors import HostRefusedError, NameRefusedError
from transport.names import NAME_RULE, is_name

AUTHORITY_DIRECTORY = "authority"
AUTHORITY_PREFIX = "boardline authority of "
_MOST_COMMON_NAME = 64  # RFC 5280, appendix A.1, ub-common-name
_MOST_HOST_NAME = 253  # RFC 1035, section 2.3.4, without the last dot
_LABEL = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?")


def require_name(name: str) -> str:
    """A board's or a client's name, as it is. Raises: NameRefusedError."""
    if not is_name(name):
        raise NameRefusedError(f"{name!r} is no name. {NAME_RULE}")
    if name.lower() == AUTHORITY_DIRECTORY:
        raise NameRefusedError(f"no board or client can be called {name}: the authority lies there. Take another name.")
    return name


def require_fleet_name(name: str) -> str:
    """A fleet's name, as it is. Raises: NameRefusedError."""
    most = _MOST_COMMON_NAME - len(AUTHORITY_PREFIX)
    if not is_name(name) or len(name) > most:
        raise NameRefusedError(
            f"{name!r} is no name of a fleet. It is 1 to {most} letters, digits, dots, dashes or underscores."
        )
    return name


def parse_host(text: str) -> str:
    """An IP address in its usual form, or a host name, as certificates hold them; an IPv6 zone is left out.

    Raises: HostRefusedError.
    """
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return _require_host_name(text)
    return str(ipaddress.ip_address(address.packed))


def is_ip(host: str) -> bool:
    """Whether a host from `parse_host` is an IP address."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _require_host_name(text: str) -> str:
    labels = text.split(".")
    is_host = len(text) <= _MOST_HOST_NAME and all(_LABEL.fullmatch(label) for label in labels)
    if not is_host or labels[-1].isdigit():  # a last label of digits is an IP address that was mistyped
        raise HostRefusedError(
            f"{text!r} is neither an IP address nor a host name. Write 10.0.0.11, fe80::1 or pi1.local, without a port."
        )
    return text

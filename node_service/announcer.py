"""Tells the local network where this board is, by DNS-SD, for `python -m dispatcher_client boards scan`.

On threads of its own: the network can neither delay nor end what the service does. What goes wrong is logged, and tried again.
"""

from __future__ import annotations

import ipaddress
import logging
import secrets
import socket
import threading

import ifaddr
from zeroconf import ServiceInfo, Zeroconf

from transport.address import Address
from transport.announcement import SERVICE_TYPE, Announcement

_log = logging.getLogger(__name__)
# An address may come late, or change: of a board that starts before its network, or moves to another one.
_LOOK_AGAIN_S = 15.0
# Three good-byes, an eighth of a second apart, and what the library gives a busy machine.
_CLOSE_TIMEOUT_S = 3.0
# Of an instance's name, which has 63 bytes and gets a number if another board has it already.
_MOST_INSTANCE_NAME = 50


class Announcer:
    """One board's announcement, on a thread of its own between `start` and `close`."""

    def __init__(self, announcement: Announcement, address: Address) -> None:
        """Args: address: where the control plane listens; 0.0.0.0 is all addresses, and loopback's only if there are no others."""
        self._announcement = announcement
        self._address = address
        self._is_wanted = False
        self._is_closing = False
        self._changed = threading.Event()
        self._announced: list[str] = []
        self._zeroconf: Zeroconf | None = None
        self._trouble = ""
        self._thread = threading.Thread(target=self._run, name="boardline-announcer", daemon=True)

    def start(self) -> None:
        """Begins to look after the announcement; there is none before it is wanted."""
        logging.getLogger("zeroconf").setLevel(logging.CRITICAL)  # what strangers send wrongly is no news
        self._thread.start()

    def set_wanted(self, is_wanted: bool) -> None:
        """Has the board announced from now on, or not any more; returns at once."""
        self._is_wanted = is_wanted
        self._changed.set()

    def close(self) -> None:
        """Takes the announcement back, and ends; after a time-out without having done so."""
        self._is_closing = True
        self.set_wanted(False)
        self._thread.join(_CLOSE_TIMEOUT_S)

    def _run(self) -> None:
        while True:
            is_last = self._is_closing
            self._changed.clear()
            try:
                self._settle()
            except Exception as error:  # whatever the network or the library has: the next look may do better
                self._complain(str(error) or type(error).__name__)
            if is_last:
                return
            self._changed.wait(_LOOK_AGAIN_S)

    def _settle(self) -> None:
        """Makes the announcement what it should be."""
        addresses = own_addresses(self._address.host) if self._is_wanted else []
        if addresses == self._announced:
            return
        if self._zeroconf is not None:
            leaving, self._zeroconf, self._announced = self._zeroconf, None, []
            leaving.close()  # it says good-bye first
            _log.info("not announced on the network any more")
        if addresses:
            self._announce(addresses)

    def _announce(self, addresses: list[str]) -> None:
        instance = self._announcement.name.replace(".", "-")[:_MOST_INSTANCE_NAME]
        info = ServiceInfo(
            SERVICE_TYPE,
            f"{instance}.{SERVICE_TYPE}",
            port=self._address.port,
            properties=self._announcement.properties(),
            # A host of its own: two boards of one name would share their addresses.
            server=f"boardline-{secrets.token_hex(8)}.local.",
            parsed_addresses=addresses,
        )
        zeroconf = Zeroconf(interfaces=list(addresses))
        try:
            zeroconf.register_service(info, allow_name_change=True)
        except BaseException:
            zeroconf.close()
            raise
        self._zeroconf, self._announced, self._trouble = zeroconf, addresses, ""
        name = info.name.removesuffix(f".{SERVICE_TYPE}")
        _log.info("announced on the network as %s, at %s, port %d", name, ", ".join(addresses), self._address.port)

    def _complain(self, trouble: str) -> None:
        if trouble != self._trouble:  # once, not every time that it is tried again
            self._trouble = trouble
            _log.warning("cannot be announced on the network, and is tried again: %s", trouble)


def own_addresses(host: str) -> list[str]:
    """The machine's addresses that a service listens on, sorted.

    Args: host: as it was given, a name or an address.
    Raises: OSError: nobody knows the name.
    """
    found = (ip.ip if ip.is_IPv4 else ip.ip[0] for adapter in ifaddr.get_adapters() for ip in adapter.ips)
    own = {ipaddress.ip_address(_without_zone(str(ip))) for ip in found}
    asked = {
        ipaddress.ip_address(_without_zone(str(answer[4][0])))
        for answer in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    }
    if any(ip.is_unspecified for ip in asked):
        takes_both = any(ip.version == 6 for ip in asked)  # as gRPC's servers do, and the data plane
        asked = {ip for ip in own if takes_both or ip.version == 4}
        asked = {ip for ip in asked if not ip.is_loopback} or asked
    return sorted(str(ip) for ip in own & asked)


def _without_zone(ip: str) -> str:
    return ip.partition("%")[0]

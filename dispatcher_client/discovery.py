"""Boards that announce themselves on the local network by DNS-SD.

Anybody there can announce anything. What is heard is bounded and checked before it is looked at, and proves nothing: a board is
one of the fleet's when it shows its certificate (`verify`).
"""

from __future__ import annotations

import asyncio
import enum
import ipaddress
import logging
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Optional, Union

import ifaddr
from zeroconf import BadTypeInNameException, DNSQuestionType, IPVersion, ServiceStateChange, Zeroconf
from zeroconf.asyncio import AsyncServiceBrowser, AsyncServiceInfo, AsyncZeroconf

from dispatcher_client.errors import DiscoveryError, OptionError
from fleet.board_control import BoardControl
from fleet.errors import BoardError
from fleet.inventory import DISPATCHER, Board
from protos.v1.control_plane_pb2 import Description
from terminal import printable
from transport.address import Address
from transport.announcement import SERVICE_TYPE, Announcement
from transport.credentials import Credentials
from transport.errors import AnnouncementError

# No local network has as many boards; whoever announces more would only keep this machine busy.
MOST_NAMES = 256
_MOST_ADDRESSES = 64  # of one name
_MOST_CHARACTERS = 300  # of what is wrong with a record, which may be quoted there
_MOST_AT_ONCE = 32  # boards that are asked for their certificates
# Of a name that is known without its address: answers have come together with the name, unless they were lost.
_RESOLVE_S = 1.0
# Answers come to everybody: one for this process alone would go to any of those on this machine that share the port.
_ASKED = DNSQuestionType.QM
_LAST_PORT = 65534  # frames are taken on the next one

Interface = Union[ipaddress.IPv4Interface, ipaddress.IPv6Interface]


class State(str, enum.Enum):
    """What is known of who announces itself."""

    UNVERIFIED = "unverified"  # nobody has asked for its certificate
    VERIFIED = "verified"  # it showed the certificate of its name, and took this machine's
    REFUSED = "refused"  # it did not
    UNREADABLE = "unreadable"  # it is no board, or not one of this version


@dataclass(frozen=True)
class Sighting:
    """One who announces itself.

    Attributes:
        name: the board's, or what it was heard under if that cannot be read; printable.
        address: of its control plane; None if unreadable.
        announcement: what is announced, or what a board that is verified says itself; None if unreadable.
        why: it is refused or unreadable; printable.
        memory_bytes: what it has, which only a board that is verified is asked.
    """

    name: str
    state: State
    address: Address | None = None
    announcement: Announcement | None = None
    why: str = ""
    memory_bytes: int = 0


@dataclass(frozen=True)
class Scan:
    """What was heard, by name. `left_out`: names beyond the bound, which were not looked at."""

    sightings: tuple[Sighting, ...]
    left_out: int


def own_interfaces(wanted: Sequence[str] = ()) -> list[Interface]:
    """This machine's addresses with their networks.

    Args: wanted: names or addresses of interfaces; none: all but loopback, which others could announce to have this machine call
        itself; and that, if there is nothing else.
    Raises: OptionError: this machine has none of that name.
    """
    adapters = list(ifaddr.get_adapters())
    known = {str(adapter.nice_name) for adapter in adapters}
    found: list[Interface] = []
    unused = set(wanted)
    for adapter in adapters:
        for ip in adapter.ips:
            text = str(ip.ip if ip.is_IPv4 else ip.ip[0]).partition("%")[0]
            if not wanted or {str(adapter.nice_name), text} & set(wanted):
                unused -= {str(adapter.nice_name), text}
                found.append(ipaddress.ip_interface(f"{text}/{ip.network_prefix}"))
    if unused:
        raise OptionError(
            f"no interface or address of this machine is {', '.join(sorted(unused))}. It has {', '.join(sorted(known))}."
        )
    abroad = [] if wanted else [interface for interface in found if not interface.is_loopback]
    return abroad or found


async def scan(seconds: float, interfaces: Sequence[Interface]) -> Scan:
    """Listens on the networks of these interfaces for so long, and up to a second more. Raises: DiscoveryError: it cannot."""
    logging.getLogger("zeroconf").setLevel(logging.CRITICAL)  # what strangers send wrongly is no news
    heard: dict[str, None] = {}
    beyond = set[str]()

    def on_change(name: str, state_change: ServiceStateChange, **_: Any) -> None:
        if state_change is ServiceStateChange.Removed:
            heard.pop(name, None)
        elif name in heard or len(heard) < MOST_NAMES:
            heard[name] = None
        elif len(beyond) < MOST_NAMES * MOST_NAMES:
            beyond.add(name)

    # On ::1 nothing can be multicast.
    senders = [str(i.ip) for i in interfaces if i.ip != ipaddress.ip_address("::1")]
    try:
        async with AsyncZeroconf(interfaces=senders) as network:
            browser = AsyncServiceBrowser(network.zeroconf, SERVICE_TYPE, handlers=[on_change], question_type=_ASKED)
            await asyncio.sleep(seconds)
            await browser.async_cancel()
            sightings = await asyncio.gather(*(_resolve(name, network.zeroconf, interfaces) for name in heard))
    except (OSError, RuntimeError) as error:
        raise DiscoveryError(f"cannot listen for boards: {error}. Choose a network with --interface.") from error
    # Whoever repeats a record under other names is heard once.
    return Scan(tuple(sorted(dict.fromkeys(sightings), key=lambda s: (s.name, str(s.address)))), len(beyond))


async def _resolve(name: str, network: Zeroconf, interfaces: Sequence[Interface]) -> Sighting:
    """What is announced under a name that somebody has given."""
    instance = name.removesuffix(f".{SERVICE_TYPE}")
    try:
        info = AsyncServiceInfo(SERVICE_TYPE, name)
    except BadTypeInNameException as error:
        return _unreadable(instance, error)
    await info.async_request(network, _RESOLVE_S * 1e3, question_type=_ASKED)
    return read_sighting(instance, info.properties, info.parsed_scoped_addresses(IPVersion.All), info.port, interfaces)


def read_sighting(
    instance: str,
    properties: Mapping[bytes, Optional[bytes]],
    addresses: Sequence[str],
    port: int | None,
    interfaces: Sequence[Interface],
) -> Sighting:
    """What a record says, if it can be a board's. All of it may be made up."""
    try:
        if port is None:
            raise AnnouncementError("nothing but its name was heard.")
        announcement = Announcement.read(properties)
        if announcement.name == DISPATCHER:
            raise AnnouncementError(f"no board can be called {DISPATCHER}: that is the machine that sends inputs.")
        if not 0 < port <= _LAST_PORT:
            raise AnnouncementError(f"its port is {port}, expected 1 to {_LAST_PORT}.")
        host = nearest(addresses[:_MOST_ADDRESSES], interfaces)
    except AnnouncementError as error:
        return _unreadable(instance, error)
    return Sighting(announcement.name, State.UNVERIFIED, Address(host, port), announcement)


def _unreadable(instance: str, error: Exception) -> Sighting:
    return Sighting(printable(instance[:64]), State.UNREADABLE, why=printable(str(error)[:_MOST_CHARACTERS]))


def nearest(addresses: Sequence[str], interfaces: Sequence[Interface]) -> str:
    """Of a board's addresses, the one to reach it at.

    It must be on a network of this machine: nobody can have it call strangers. A network that both ends have each for itself,
    as Docker's, has this machine's own address there, and comes last.
    Raises: AnnouncementError: there is none.
    """
    own = {str(interface.ip) for interface in interfaces}
    near = []
    for text in addresses:
        ip = ipaddress.ip_address(text)
        is_near = any(ip in interface.network for interface in interfaces)
        if is_near and not (ip.is_multicast or ip.is_unspecified):
            near.append((str(ip).partition("%")[0] in own, ip.version, int(ip), text))
    if not near:
        raise AnnouncementError(
            f"none of its addresses is on a network of this machine: {', '.join(addresses[:4]) or 'it has none'}."
        )
    return _with_interface_name(min(near)[-1])


async def verify(sightings: Sequence[Sighting], credentials: Credentials, timeout_s: float) -> list[Sighting]:
    """Has every board show its certificate, and asks it what it is; in the order given."""
    turns = asyncio.Semaphore(_MOST_AT_ONCE)

    async def ask(sighting: Sighting) -> Sighting:
        if sighting.announcement is None or sighting.address is None:
            return sighting
        if not sighting.announcement.tls:
            return replace(sighting, state=State.REFUSED, why="it says that it speaks plaintext.")
        board = Board(sighting.name, sighting.address)
        try:
            async with turns, BoardControl(board, credentials=credentials, timeout_s=timeout_s) as control:
                described = await control.describe()
                announcement = _described(sighting.name, described)
        except (BoardError, AnnouncementError) as error:
            return replace(sighting, state=State.REFUSED, why=printable(str(error)))
        memory_bytes = described.memory_total_bytes
        return replace(sighting, state=State.VERIFIED, announcement=announcement, memory_bytes=memory_bytes)

    return list(await asyncio.gather(*map(ask, sightings)))


def _described(name: str, described: Description) -> Announcement:
    """What the board itself says, in the place of what was said of it. Raises: AnnouncementError."""
    runtime = described.runtime
    return Announcement(
        name=name,
        protocol_version=described.protocol_version,
        software_version=described.software_version,
        architecture=runtime.architecture,
        runtime=f"{runtime.runtime} {runtime.version}",
        cores=described.cores,
        tls=True,
    )


def _with_interface_name(text: str) -> str:
    """Of a link-local address, its zone as a name: numbers change when interfaces come and go."""
    host, percent, zone = text.partition("%")
    return f"{host}%{socket.if_indextoname(int(zone))}" if percent and zone.isdigit() else text

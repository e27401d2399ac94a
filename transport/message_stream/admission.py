"""Who may connect: so many streams in all and from one address, and few connections that have not said what they want."""

from __future__ import annotations

import ipaddress
import time
from collections import Counter, OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

from transport.errors import NoRoomError

# Addresses whose arrivals are remembered; the one that came longest ago is forgotten first.
_MOST_ADDRESSES = 1024


@dataclass(frozen=True)
class ListenerLimits:
    """What a listener takes.

    Attributes:
        max_streams: in all, and
        max_streams_per_address: from one address; None: half of all.
        max_new: connections that are not streams yet: without a request, or an opening. For one more, one of them is cut.
        arrivals: connections that one address may make at once, and
        arrivals_per_s: so many more each second; None: any number.
    """

    max_streams: int = 64
    max_streams_per_address: int | None = None
    max_new: int = 32
    arrivals: int = 512
    arrivals_per_s: float | None = 64.0

    @property
    def share(self) -> int:
        """Streams that one address may have."""
        return self.max_streams_per_address or max(1, self.max_streams // 2)


class Connection(Protocol):
    """What is decided on."""

    @property
    def origin(self) -> str:
        """As `origin_of` gives it."""

    @property
    def has_spoken(self) -> bool:
        """Whether anything has come from it."""


_C = TypeVar("_C", bound=Connection)


@dataclass
class _Bucket:
    tokens: float
    at_s: float


@dataclass
class Admission(Generic[_C]):
    """The connections of one listener. One thread at a time: its owner has a lock."""

    limits: ListenerLimits
    clock: Callable[[], float] = time.monotonic
    _new: list[_C] = field(default_factory=list)  # the oldest first
    _streams: list[_C] = field(default_factory=list)
    _buckets: OrderedDict[str, _Bucket] = field(default_factory=OrderedDict)

    def arrive(self, connection: _C) -> _C | None:
        """Takes a connection; which one must be cut for it: of the address with most new ones, the oldest that has said nothing.

        A good peer speaks at once, however long it takes until it is understood: a TLS handshake on a busy board, say. Where all
        have spoken, the oldest is cut.

        Raises: NoRoomError: its address connects too often.
        """
        self._count_arrival(connection.origin)
        victim = None
        if len(self._new) >= self.limits.max_new:
            counts = Counter(c.origin for c in self._new)
            most = max(counts.values())
            busiest = [c for c in self._new if counts[c.origin] == most]
            victim = next((c for c in busiest if not c.has_spoken), busiest[0])
            self._new.remove(victim)
        self._new.append(connection)
        return victim

    def admit(self, connection: _C) -> None:
        """A new connection becomes a stream. Raises: NoRoomError: too many are open, or it was cut meanwhile."""
        if connection in self._streams:
            return
        if connection not in self._new:
            raise NoRoomError("the connection was cut for a newer one, since it had not said in time what it wants.")
        most, share = self.limits.max_streams, self.limits.share
        if len(self._streams) >= most:
            raise NoRoomError(
                f"{len(self._streams)} streams are open, which is the limit; close some, or raise --max-streams."
            )
        own = sum(c.origin == connection.origin for c in self._streams)
        if own >= share:
            raise NoRoomError(
                f"{own} streams from {connection.origin} are open, which is the limit for one address; close some, or raise "
                "--max-streams-per-address."
            )
        self._new.remove(connection)
        self._streams.append(connection)

    def leave(self, connection: _C) -> None:
        """The connection has ended."""
        for held in (self._new, self._streams):
            if connection in held:
                held.remove(connection)

    def _count_arrival(self, origin: str) -> None:
        rate, most = self.limits.arrivals_per_s, self.limits.arrivals
        if rate is None:
            return
        now_s = self.clock()
        bucket = self._buckets.pop(origin, None) or _Bucket(most, now_s)
        bucket.tokens = min(most, bucket.tokens + rate * (now_s - bucket.at_s))
        bucket.at_s = now_s
        self._buckets[origin] = bucket
        while len(self._buckets) > _MOST_ADDRESSES:
            self._buckets.popitem(last=False)
        if bucket.tokens < 1:
            raise NoRoomError(f"{origin} connects more than {rate:g} times a second.")
        bucket.tokens -= 1


def origin_of(host: str) -> str:
    """The address that connections are counted by: an IPv4 address is the same one when a socket for both writes it as IPv6."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:  # of a socket without addresses
        return host
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return str(mapped or address)

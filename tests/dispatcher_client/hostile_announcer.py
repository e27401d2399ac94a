"""`python -m tests.dispatcher_client.hostile_announcer HOST lies|flood`: multicasts what no node service would, without end."""

from __future__ import annotations

import itertools
import socket
import sys
import time
from collections.abc import Iterator, Mapping

from zeroconf import (  # type: ignore[attr-defined]  # exported, and not listed as such
    DNSAddress,
    DNSOutgoing,
    DNSPointer,
    DNSService,
    DNSText,
)
from zeroconf.const import _CLASS_IN, _FLAGS_QR_RESPONSE, _TYPE_A, _TYPE_PTR, _TYPE_SRV, _TYPE_TXT

from transport.announcement import SERVICE_TYPE, Announcement

HONEST = Announcement("pi1", 1, "0.1.0", "aarch64", "ai-edge-litert 2.1.0", 4, tls=True).properties()
ESCAPE = "\x1b]0;owned\x07\x1b[2J"
FLOOD_NAMES = 3000
_GROUP = ("224.0.0.251", 5353)
_EVERY_S = 0.2
_TTL_S = 120


def lies(host: str) -> Iterator[DNSOutgoing]:
    """One record each that should not get into a draft, and one that only a certificate gives away."""
    yield _records("escapes", host, {**HONEST, "name": ESCAPE})
    yield _records(ESCAPE, host, {**HONEST, "cores": "many"})
    yield _records("runtime", host, {**HONEST, "name": "pi9", "runtime": f"litert\n- name: evil {ESCAPE}"})
    yield _records("path", host, {**HONEST, "name": "../../etc/passwd"})
    yield _records("yaml", host, {**HONEST, "name": "pi1: {}"})
    yield _records("abroad", "8.8.8.8", {**HONEST, "name": "pi8"})
    yield _records("itself", "127.0.0.1", {**HONEST, "name": "pi7"})
    yield _records("sender", host, {**HONEST, "name": "dispatcher"})
    yield _records("port", host, {**HONEST, "name": "pi6"}, port=0)
    yield _records("empty", host, {})
    yield _records("long", host, {**HONEST, "version": "9" * 200})
    yield _records("pi1-again", host, HONEST)


def flood(_: str) -> Iterator[DNSOutgoing]:
    """More names than any network has boards."""
    names = (f"board{index}" for index in range(FLOOD_NAMES))
    while batch := list(itertools.islice(names, 40)):
        out = DNSOutgoing(_FLAGS_QR_RESPONSE)
        for name in batch:
            out.add_answer_at_time(_pointer(name), 0)
        yield out


def _records(instance: str, host: str, properties: Mapping[str, str], port: int = 50051) -> DNSOutgoing:
    name, server = f"{instance}.{SERVICE_TYPE}", f"{len(instance)}-{instance.encode().hex()[:20]}.local."
    pairs = (f"{key}={value}".encode() for key, value in properties.items())
    out = DNSOutgoing(_FLAGS_QR_RESPONSE)
    for record in (
        _pointer(instance),
        DNSService(name, _TYPE_SRV, _CLASS_IN, _TTL_S, 0, 0, port, server),
        DNSText(name, _TYPE_TXT, _CLASS_IN, _TTL_S, b"".join(bytes([len(pair)]) + pair for pair in pairs)),
        DNSAddress(server, _TYPE_A, _CLASS_IN, _TTL_S, socket.inet_aton(host)),
    ):
        out.add_answer_at_time(record, 0)
    return out


def _pointer(instance: str) -> DNSPointer:
    return DNSPointer(SERVICE_TYPE, _TYPE_PTR, _CLASS_IN, _TTL_S, f"{instance}.{SERVICE_TYPE}")


def main(host: str, what: str) -> None:
    """Never returns."""
    packets = [packet for out in {"lies": lies, "flood": flood}[what](host) for packet in out.packets()]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(host))
        for round_index in itertools.count():
            for packet in packets:
                sender.sendto(packet, _GROUP)
            if not round_index:
                print("announcing", file=sys.stderr, flush=True)
            time.sleep(_EVERY_S)


if __name__ == "__main__":
    main(*sys.argv[1:])

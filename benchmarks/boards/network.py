"""The boards' network: a namespace each, a bridge in one more, and rate-limited veth pairs between them.

      hub        br0 -- port0, port1, port2 ...
                          |      |      |          each a veth pair, a token bucket on both ends
      dispatcher        eth0     |      |
      pi1                      eth0     |
      pi2                             eth0

No end of any pair is ever in the machine's own namespace, so its interfaces, routes and firewall play no part, and
removing the namespaces removes everything. Built with iproute2's `ip` and `tc`, which every Debian board has, and not with
a netlink library: that would be one more dependency for some twenty lines, which can also be typed by hand to see what is
wrong.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.boards.commands import batch, complaint
from benchmarks.boards.ownership import namespace_name
from benchmarks.boards.spec import DISPATCHER, HUB

NAMESPACES = Path("/run/netns")  # where iproute2 keeps the names
_SUBNET = "10.99.0"
_FIRST_BOARD_HOST = 11
# Largest frame of Ethernet with its header; a bucket that holds less can never pass one.
_FRAME_BYTES = 1514
# What precedes and follows every frame on a real wire: preamble 8, check sum 4, gap 12.
_WIRE_OVERHEAD_BYTES = 24
_WIRE_MIN_BYTES = 84
# The bucket: what a link that was idle passes at once, and so how far a transfer's time may fall short of the truth. A quarter
# of it cuts TCP's pieces to 15 KB at 1 Gbit/s, where a network card takes 64 KB: a chain of eight boards then spent 9.6 ms of
# processor time an image outside invoke instead of 7.0, and gave 43 images/s instead of 53.
_BURST_S = 1e-3
_MAX_GSO_BYTES = 65536
_MIN_BURST_BYTES = 2 * _FRAME_BYTES
# What waits at a port of the bridge, as in a small switch. TCP of the sender waits before its own bucket without loss.
_QUEUE_BYTES = 256 * 1024


@dataclass(frozen=True)
class Port:
    """One machine on the bridge: whose namespace, its address, and its link."""

    name: str
    host: str
    link_bits_per_s: float | None
    delay_s: float = 0.0


def board_host(board_index: int) -> str:
    """The address of a board. Every cluster has the same, because no cluster sees another."""
    return f"{_SUBNET}.{_FIRST_BOARD_HOST + board_index}"


def dispatcher_port(link_bits_per_s: float | None) -> Port:
    """The dispatcher's place on the bridge."""
    return Port(DISPATCHER, f"{_SUBNET}.1", link_bits_per_s)


def make_network(cluster_id: str, ports: Sequence[Port]) -> dict[str, str]:
    """Makes namespaces and links; says what of "rate" and "delay" the kernel cannot do, with the reason.

    Raises: CannotEmulateError: no namespaces, veth pairs or bridges here.
    """
    hub = namespace_name(cluster_id, HUB)
    inside = {port.name: namespace_name(cluster_id, port.name) for port in ports}
    batch(["ip"], [f"netns add {name}" for name in (hub, *inside.values())])
    missing = _missing_disciplines(hub)
    batch(["ip", "-n", hub], ["link add br0 type bridge", "link set br0 up"])
    for index, port in enumerate(ports):
        batch(["ip", "-n", hub], _hub_lines(f"port{index}", inside[port.name], port))
        batch(["ip", "-n", inside[port.name]], _inside_lines(port))
        _shape(hub, f"port{index}", port, missing)
        _shape(inside[port.name], "eth0", port, missing)
    return missing


def change_rate(cluster_id: str, port_index: int, name: str, link_bits_per_s: float) -> None:
    """Gives both ends of a machine's link another rate; what waits there is lost. `port_index`: its place among the ports."""
    for namespace, interface in (
        (namespace_name(cluster_id, HUB), f"port{port_index}"),
        (namespace_name(cluster_id, name), "eth0"),
    ):
        # A new one: what waits in a bucket that only gets smaller may be larger than it, and would wait for ever.
        new = f"qdisc add dev {interface} root {_bucket(link_bits_per_s)}"
        batch(["tc", "-n", namespace], [f"qdisc del dev {interface} root", new])


def _hub_lines(interface: str, peer_namespace: str, port: Port) -> list[str]:
    return [
        f"link add {interface} type veth peer name eth0 netns {peer_namespace}",
        *_segment_limit(interface, port),
        f"link set {interface} master br0 up",
    ]


def _inside_lines(port: Port) -> list[str]:
    return ["link set lo up", *_segment_limit("eth0", port), f"addr add {port.host}/24 dev eth0", "link set eth0 up"]


def _segment_limit(interface: str, port: Port) -> list[str]:
    """Has TCP hand over pieces that fit into half the bucket.

    Larger than the bucket they would be cut up, at the cost of CPU time; as large, every late timer would lose tokens: a
    transfer at 100 Mbit/s then reaches 91.8 Mbit/s and not 92.7, of which the headers leave 94.1.
    """
    if port.link_bits_per_s is None:
        return []
    return [f"link set {interface} gso_max_size {min(_burst_bytes(port.link_bits_per_s) // 2, _MAX_GSO_BYTES)}"]


def _shape(namespace: str, interface: str, port: Port, missing: dict[str, str]) -> None:
    """Delay outside, rate inside it, as netem's manual page has it."""
    lines, place = [], "root"
    if port.delay_s > 0 and "delay" not in missing:
        lines.append(f"qdisc add dev {interface} root handle 1: netem delay {round(port.delay_s * 1e6)}us")
        place = "parent 1:1"
    if port.link_bits_per_s is not None and "rate" not in missing:
        lines.append(f"qdisc add dev {interface} {place} {_bucket(port.link_bits_per_s)}")
    if lines:
        batch(["tc", "-n", namespace], lines)


def _bucket(link_bits_per_s: float) -> str:
    return (
        f"tbf rate {round(link_bits_per_s)}bit burst {_burst_bytes(link_bits_per_s)} limit {_QUEUE_BYTES} "
        f"overhead {_WIRE_OVERHEAD_BYTES} mpu {_WIRE_MIN_BYTES}"
    )


def _burst_bytes(link_bits_per_s: float) -> int:
    return max(_MIN_BURST_BYTES, round(link_bits_per_s / 8 * _BURST_S))


def _missing_disciplines(namespace: str) -> dict[str, str]:
    """Tries each queueing discipline where nobody is: a kernel may have it as a module that loads only when used."""
    trials = {"rate": f"tbf rate 1gbit burst {_FRAME_BYTES} limit {_QUEUE_BYTES}", "delay": "netem delay 1ms"}
    missing = {}
    for what, discipline in trials.items():
        said = complaint(["tc", "-n", namespace, "qdisc", "replace", "dev", "lo", "root", *discipline.split()])
        if said is not None:
            missing[what] = f"no {discipline.split()[0]} in this kernel ({said})"
    return missing

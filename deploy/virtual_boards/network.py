"""The boards' network: a bridge in a namespace of its own, where whoever talks to the boards runs, too.

      whoever deploys or dispatches     10.77.0.1
                   |
      namespace   br0 -- tap0, tap1, ...
                          |      |
                      board1  board2    10.77.0.11, 10.77.0.12, ... static, from the kernel's command line

A board has one address for everybody, which it would not with qemu's own network and forwarded ports. Nothing leads out:
boards have no internet, and every fleet can have the same addresses.
"""

from __future__ import annotations

from pathlib import Path

from benchmarks.boards.commands import batch
from benchmarks.boards.network import NAMESPACES
from benchmarks.boards.ownership import namespace_name

PREFIX_BITS = 24
NETMASK = "255.255.255.0"
MOST_BOARDS = 100
_SUBNET = "10.77.0"
_FIRST_BOARD_HOST = 11
_WHAT = "virtual"


def board_host(board_index: int) -> str:
    """The address of a board."""
    return f"{_SUBNET}.{_FIRST_BOARD_HOST + board_index}"


def board_mac(board_index: int) -> str:
    """The address of a board's network card, in the range that qemu's cards have."""
    return f"52:54:00:77:00:{_FIRST_BOARD_HOST + board_index:02x}"


def board_tap(board_index: int) -> str:
    """The interface that a board's network card is, inside the namespace."""
    return f"tap{board_index}"


def namespace_of(cluster_id: str) -> Path:
    """The namespace of a fleet."""
    return NAMESPACES / namespace_name(cluster_id, _WHAT)


def make_network(cluster_id: str, n_boards: int) -> None:
    """Makes namespace, bridge and taps; removing the namespace removes them all.

    Raises: CannotEmulateError: no namespaces, bridges or taps here.
    """
    name = namespace_of(cluster_id).name
    bridge = ["link add br0 type bridge", f"addr add {_SUBNET}.1/{PREFIX_BITS} dev br0"]
    taps = [board_tap(index) for index in range(n_boards)]
    plugged = [line for tap in taps for line in (f"tuntap add dev {tap} mode tap", f"link set {tap} master br0 up")]
    batch(["ip"], [f"netns add {name}"])
    batch(["ip", "-n", name], ["link set lo up", *bridge, "link set br0 up", *plugged])

"""Every board has addresses of its own."""

from __future__ import annotations

import ipaddress

from deploy.virtual_boards.network import MOST_BOARDS, NETMASK, PREFIX_BITS, board_host, board_mac, board_tap


def test_addresses_differ_and_lie_in_one_network() -> None:
    network = ipaddress.ip_network(f"{board_host(0)}/{PREFIX_BITS}", strict=False)
    hosts = [ipaddress.ip_address(board_host(index)) for index in range(MOST_BOARDS)]
    assert len(set(hosts)) == MOST_BOARDS
    assert all(host in network for host in hosts)
    assert str(network.netmask) == NETMASK
    assert len({board_mac(index) for index in range(MOST_BOARDS)}) == MOST_BOARDS
    assert all(len(board_mac(index)) == 17 for index in range(MOST_BOARDS))
    assert len({board_tap(index) for index in range(MOST_BOARDS)}) == MOST_BOARDS

"""Links measured between real node services, and how the measurements are arranged."""

from __future__ import annotations

import pytest

from examples.local_boards import LocalBoards
from fleet.errors import BoardUnavailableError
from fleet.event_loop import run_in_loop
from fleet.inventory import DISPATCHER, Board, Inventory, Link
from planner.exchange import ExchangeBudget
from planner.link_probe import ProbeHop, probe
from planner.links import _rounds, _wanted, measure_links
from transport.address import Address

BRIEF = ExchangeBudget(seconds=0.1, frames=60)


def test_every_pair_is_measured_both_ways_and_says_what_moving_costs(boards: LocalBoards) -> None:
    heard = []
    inventory = Inventory(tuple(boards.named))
    found = run_in_loop(
        measure_links(inventory, insecure=False, budget=BRIEF, on_link=lambda *progress: heard.append(progress))
    )
    ends = [*(b.name for b in boards.named), DISPATCHER]
    assert set(found.speeds) == {(a, b) for a in ends for b in ends if a != b}
    for speed in found.speeds.values():
        assert speed.is_measured
        assert 1e6 < speed.bytes_per_s < 1e11  # loopback, on whatever machine
        assert 0 <= speed.frame_s < 1
        assert 0 <= speed.round_trip_s < 1
    assert set(found.transport) == set(ends)
    for cost in found.transport.values():
        assert 0 < cost.frame_cpu_s < 0.1
        assert 0 <= cost.receive_cpu_s_per_byte < 1e-6
        assert 0 <= cost.send_cpu_s_per_byte < 1e-6
    assert heard[-1] == (12, 12)


def test_links_that_are_written_down_are_not_measured(boards: LocalBoards) -> None:
    one, two, three = boards.named
    inventory = Inventory(
        (
            Board(one.name, one.address, link_bytes_per_s=1e6),
            Board(two.name, two.address, link_bytes_per_s=2e6),
            three,
        ),
        (Link(frozenset({one.name, three.name}), 5e5, 0.25),),
    )
    wanted = {d.names for d in _wanted(inventory, list(inventory.boards))}
    assert wanted == {
        *((DISPATCHER, b.name) for b in boards.named),
        *((b.name, DISPATCHER) for b in boards.named),
        (two.name, three.name),
        (three.name, two.name),
    }
    speeds = run_in_loop(measure_links(inventory, insecure=False, budget=BRIEF)).speeds
    assert speeds[one.name, two.name].bytes_per_s == speeds[two.name, one.name].bytes_per_s == 1e6
    assert not speeds[one.name, two.name].is_measured
    assert speeds[three.name, one.name].bytes_per_s == 5e5
    assert speeds[three.name, one.name].round_trip_s == 0.25
    assert speeds[one.name, DISPATCHER].bytes_per_s == 1e6
    assert speeds[two.name, three.name].is_measured


def test_no_machine_is_in_two_measurements_at_once() -> None:
    inventory = Inventory(tuple(Board(f"pi{i}", Address("h", i + 1)) for i in range(6)))
    wanted = _wanted(inventory, list(inventory.boards))
    rounds = _rounds(wanted)
    assert sorted(d.names for r in rounds for d in r) == sorted(d.names for d in wanted)
    for members in rounds:
        machines = [name for d in members for name in d.names]
        assert len(machines) == len(set(machines))
    assert len(rounds) < 12 + 15  # of the 30 directions between boards, two or three at a time


def test_probe_sends_the_bytes_between_the_boards_and_not_from_here(boards: LocalBoards) -> None:
    one, two, _ = boards.named
    result = run_in_loop(
        probe([ProbeHop(one, 200_000), ProbeHop(two, 0)], 0, 2, insecure=False, budget=ExchangeBudget(0.1, 20))
    )
    assert 1 <= result.frames <= 20
    assert len(result.cpu_s) == 2
    assert all(cpu_s > 0 for cpu_s in result.cpu_s)


def test_board_that_does_not_answer_is_named() -> None:
    nobody = Board("pi9", Address("127.0.0.1", 1))
    with pytest.raises(BoardUnavailableError, match="pi9"):
        run_in_loop(probe([ProbeHop(nobody, 0)], 0, 1, insecure=False, budget=ExchangeBudget(0.1, 5, timeout_s=5)))


def test_board_behind_the_first_that_does_not_answer_is_named(boards: LocalBoards) -> None:
    nobody = Board("pi9", Address("127.0.0.1", 1))
    hops = [ProbeHop(boards.named[0], 10), ProbeHop(nobody, 0)]
    with pytest.raises(BoardUnavailableError, match="pi9"):
        run_in_loop(probe(hops, 0, 1, insecure=False, budget=ExchangeBudget(0.1, 5, timeout_s=5)))

"""Links measured between real node services, and how the measurements are arranged."""

from __future__ import annotations

import math
import statistics

import pytest

from examples.local_boards import LocalBoards
from fleet.errors import BoardUnavailableError
from fleet.event_loop import run_in_loop
from fleet.inventory import DISPATCHER, Board, Inventory, Link
from planner.exchange import ExchangeBudget, SteadyState
from planner.link_probe import ProbeHop, probe
from planner.links import LinkSpeed, MeasuredLinks, _rounds, _wanted, link_notes, measure_links
from tests.credentials import OPERATOR
from transport.address import Address
from transport.credentials import Credentials

BRIEF = ExchangeBudget(seconds=0.1, frames=60)


def test_every_pair_is_measured_both_ways_and_says_what_moving_costs(boards: LocalBoards) -> None:
    heard = []
    inventory = Inventory(tuple(boards.named))
    found = run_in_loop(
        measure_links(inventory, credentials=OPERATOR, budget=BRIEF, on_link=lambda *progress: heard.append(progress))
    )
    ends = [*(b.name for b in boards.named), DISPATCHER]
    assert set(found.speeds) == {(a, b) for a in ends for b in ends if a != b}
    for speed in found.speeds.values():
        assert speed.is_measured
        assert 1e6 < speed.bytes_per_s < 1e13  # loopback, on whatever machine
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
    speeds = run_in_loop(measure_links(inventory, credentials=OPERATOR, budget=BRIEF)).speeds
    assert speeds[one.name, two.name].bytes_per_s == speeds[two.name, one.name].bytes_per_s == 1e6
    assert not speeds[one.name, two.name].is_measured
    assert speeds[three.name, one.name].bytes_per_s == 5e5
    assert speeds[three.name, one.name].round_trip_s == 0.25
    assert speeds[one.name, DISPATCHER].bytes_per_s == 1e6  # the loopback is faster
    assert not speeds[one.name, DISPATCHER].is_measured
    to_dispatcher = [speed.frame_s for names, speed in speeds.items() if DISPATCHER in names]
    assert (
        speeds[one.name, two.name].frame_s == speeds[one.name, three.name].frame_s == statistics.median(to_dispatcher)
    )
    assert speeds[two.name, three.name].is_measured


def test_slower_of_written_and_measured_counts_to_the_dispatcher_unless_the_pair_is_written(
    boards: LocalBoards,
) -> None:
    one, two, _ = boards.named
    quick = [Board(board.name, board.address, link_bytes_per_s=1e15) for board in (one, two)]
    inventory = Inventory(tuple(quick), (Link(frozenset({two.name, DISPATCHER}), 1e14),))
    speeds = run_in_loop(measure_links(inventory, credentials=OPERATOR, budget=BRIEF)).speeds
    for names in ((one.name, DISPATCHER), (DISPATCHER, one.name)):
        assert speeds[names].is_measured
        assert speeds[names].bytes_per_s < 1e11
    for names in ((two.name, DISPATCHER), (DISPATCHER, two.name)):
        assert not speeds[names].is_measured
        assert speeds[names].bytes_per_s == 1e14
        assert speeds[names].round_trip_s > 0
    assert speeds[one.name, two.name].bytes_per_s == 1e15  # between boards it is not measured


@pytest.mark.parametrize(
    ("bytes_per_s", "sizes"),
    [
        (125e6, {16 * 2**10, 64 * 2**10, 2**20}),
        (1e6, {16 * 2**10, 64 * 2**10, 128 * 2**10}),
        (0.5e6, {16 * 2**10, 48 * 2**10}),  # 64 KiB would take 0.13 s of 0.4
    ],
)
def test_slower_links_get_smaller_frames(monkeypatch: pytest.MonkeyPatch, bytes_per_s: float, sizes: set[int]) -> None:
    sent = set()

    async def made_up(
        hops: list[ProbeHop], own_bytes: int, window: int, *, credentials: Credentials | None, budget: ExchangeBudget
    ) -> SteadyState:
        size_bytes = own_bytes + sum(hop.sends_bytes for hop in hops)
        sent.add(size_bytes)
        return SteadyState(0.001 + size_bytes / bytes_per_s, (0.001,), (0.0,), 0.001, 9, 0.2, 0.001)

    monkeypatch.setattr("planner.links.probe", made_up)
    inventory = Inventory((Board("pi1", Address("h", 1)),))
    speeds = run_in_loop(measure_links(inventory, credentials=OPERATOR)).speeds
    assert sent == {0} | sizes
    for speed in speeds.values():
        assert speed.bytes_per_s == pytest.approx(bytes_per_s)
        assert speed.frame_s == pytest.approx(0.001)
        assert speed.half_width_share == 0.2


def test_links_that_are_not_known_well_are_named_in_one_sentence() -> None:
    def notes(*shares: float, is_measured: bool = True) -> list[str]:
        speeds = {(f"pi{i}", "pi9"): LinkSpeed(1e6, 0.0, 0.0, is_measured, share) for i, share in enumerate(shares)}
        return link_notes(MeasuredLinks(speeds, {}))

    assert notes() == notes(0.0, 0.1) == notes(0.5, is_measured=False) == []
    assert notes(0.05, 0.23) == [
        "link pi1 -> pi9 is known to 23 % only; measure again, or write its speed into boards.yaml."
    ]
    assert notes(0.15, 0.12, 0.234, 0.01, 0.13, 0.11) == [
        "links pi2 -> pi9, pi0 -> pi9, pi4 -> pi9 and 2 more are known to 23 % only; measure again, or write their speed "
        "into boards.yaml."
    ]
    assert "link pi0 -> pi9 is known from too few frames to say how well;" in notes(math.inf)[0]


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
        probe([ProbeHop(one, 200_000), ProbeHop(two, 0)], 0, 2, credentials=OPERATOR, budget=ExchangeBudget(0.1, 20))
    )
    assert 1 <= result.frames <= 20
    assert len(result.cpu_s) == 2
    assert all(cpu_s > 0 for cpu_s in result.cpu_s)


def test_board_that_does_not_answer_is_named() -> None:
    nobody = Board("pi9", Address("127.0.0.1", 1))
    with pytest.raises(BoardUnavailableError, match="pi9"):
        run_in_loop(
            probe([ProbeHop(nobody, 0)], 0, 1, credentials=OPERATOR, budget=ExchangeBudget(0.1, 5, timeout_s=5))
        )


def test_board_behind_the_first_that_does_not_answer_is_named(boards: LocalBoards) -> None:
    nobody = Board("pi9", Address("127.0.0.1", 1))
    hops = [ProbeHop(boards.named[0], 10), ProbeHop(nobody, 0)]
    with pytest.raises(BoardUnavailableError, match="pi9"):
        run_in_loop(probe(hops, 0, 1, credentials=OPERATOR, budget=ExchangeBudget(0.1, 5, timeout_s=5)))

"""Windows of chains side by side: whose turn it is, and that the fastest chain never waits for the slowest one's answer."""

from __future__ import annotations

import heapq
import threading
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatcher_client.window_control import WindowControl
from dispatcher_client.windows import Slot, Windows, least_outstanding

TIMEOUT_S = 20


class Clock:
    """A clock that stands until it is set."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def any_chain(windows: Windows, outstanding: Sequence[int]) -> int | None:
    return least_outstanding(outstanding, windows.sizes, range(len(windows.sizes)))


def take(windows: Windows) -> Slot | None:
    return windows.take(lambda outstanding: any_chain(windows, outstanding), 0)


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(1, 6), st.booleans()), min_size=1, max_size=6))
def test_candidate_with_the_fewest_outstanding_is_chosen_among_those_with_room(
    chains: list[tuple[int, int, bool]],
) -> None:
    outstanding, sizes = [o for o, _, _ in chains], [s for _, s, _ in chains]
    candidates = [index for index, (_, _, is_open) in enumerate(chains) if is_open]
    chosen = least_outstanding(outstanding, sizes, candidates)
    with_room = [index for index in candidates if outstanding[index] < sizes[index]]
    if chosen is None:
        assert not with_room
        return
    assert chosen in with_room
    assert all(outstanding[chosen] <= outstanding[index] for index in with_room)
    assert all(outstanding[chosen] < outstanding[index] for index in with_room if index < chosen)


@given(st.lists(st.integers(1, 4), min_size=1, max_size=4), st.data())
def test_requests_are_spread_evenly_and_never_beyond_a_window(sizes: list[int], data: st.DataObject) -> None:
    windows = Windows(sizes)
    slots: list[Slot] = []
    for _ in range(40):
        before = windows.outstanding
        if len(slots) > 0 and data.draw(st.booleans()):
            windows.give_back(slots.pop(data.draw(st.integers(0, len(slots) - 1))), answered=data.draw(st.booleans()))
            continue
        slot = take(windows)
        if slot is None:
            assert before == tuple(sizes)
            continue
        slots.append(slot)
        assert before[slot.chain_index] == min(o for o, size in zip(before, sizes) if o < size)
        assert all(o <= size for o, size in zip(windows.outstanding, sizes))
    assert sum(windows.outstanding) == len(slots)


def test_room_that_comes_free_goes_to_who_waits_for_it() -> None:
    windows = Windows([1])
    first = take(windows)
    assert first is not None
    got: list[Slot | None] = []
    waiting = threading.Thread(
        target=lambda: got.append(windows.take(lambda outstanding: any_chain(windows, outstanding), TIMEOUT_S))
    )
    waiting.start()
    windows.give_back(first, answered=True)
    waiting.join(TIMEOUT_S)
    assert got != [None]
    assert windows.outstanding == (1,)


@given(st.integers(1, 50), st.lists(st.floats(0.001, 100), max_size=30))
def test_one_chain_has_room_for_its_window_ahead(size: int, latencies_s: list[float]) -> None:
    clock = Clock()
    windows = Windows([size], clock)
    for latency_s in latencies_s:
        slot = take(windows)
        assert slot is not None
        clock.now_s += latency_s
        windows.give_back(slot, answered=True)
    assert windows.room_ahead() == size


@given(st.lists(st.integers(1, 9), min_size=2, max_size=5), st.lists(st.floats(0, 1e4), max_size=30), st.booleans())
def test_room_ahead_is_bounded_whatever_was_observed(sizes: list[int], pauses_s: list[float], answered: bool) -> None:
    clock = Clock()
    windows = Windows(sizes, clock)
    for pause_s in pauses_s:
        slot = take(windows)
        clock.now_s += pause_s
        assert sum(sizes) <= windows.room_ahead() <= 9 * sum(sizes)
        if slot is not None and slot.number % 3:
            windows.give_back(slot, answered=answered)


@given(
    st.tuples(st.integers(1, 8), st.integers(1, 8)),
    st.floats(1, 7.9),
    st.lists(st.floats(0.9, 1.1), min_size=7, max_size=7),
)
def test_fastest_chain_never_idles_while_the_slow_one_is_at_most_eight_times_slower(
    sizes: tuple[int, int], ratio: float, jitter: list[float]
) -> None:
    """Each chain serves one request after the other; a stream in order takes what the room allows, as fast as it can."""
    assert idle_share(sizes, (1.0, ratio * sizes[0] / sizes[1]), jitter) < 0.01


def test_fastest_chain_would_idle_with_room_for_the_windows_only() -> None:
    assert idle_share((4, 4), (1.0, 6.0), [1.0], room_factor=0.3) > 0.2


def idle_share(
    sizes: tuple[int, int], service_s: tuple[float, float], jitter: list[float], room_factor: float = 1.0
) -> float:
    """The share of time that chain 0 has nothing to do, after a warm-up, in a simulated stream of many requests."""
    clock = Clock()
    windows = Windows(sizes, clock)
    ends: list[tuple[float, int, Slot]] = []
    free_at_s, busy_s = [0.0, 0.0], 0.0
    unanswered: set[int] = set()
    taken = read = 0
    warm_s, stop_s = 60.0 * max(service_s), 200.0 * max(service_s)
    while clock.now_s < stop_s:
        while taken - read < windows.room_ahead() * room_factor and (slot := take(windows)) is not None:
            assert slot.number == taken
            chain = slot.chain_index
            duration_s = service_s[chain] * jitter[taken % len(jitter)]
            begin_s = max(clock.now_s, free_at_s[chain])
            free_at_s[chain] = begin_s + duration_s
            if chain == 0 and begin_s >= warm_s:
                busy_s += duration_s
            unanswered.add(slot.number)
            heapq.heappush(ends, (free_at_s[chain], slot.number, slot))
            taken += 1
        end_s, number, slot = heapq.heappop(ends)
        clock.now_s = end_s
        windows.give_back(slot, answered=True)
        unanswered.discard(number)
        read = min(unanswered, default=taken)
    return 1 - busy_s / (free_at_s[0] - warm_s)


def test_waiting_ends_when_somebody_says_that_it_may() -> None:
    windows = Windows([1, 1])
    said = threading.Event()
    waiting = threading.Thread(target=lambda: windows.wait_until(said.is_set))
    waiting.start()
    said.set()
    windows.wake()
    waiting.join(TIMEOUT_S)
    assert not waiting.is_alive()


@pytest.mark.parametrize("sizes", [[2], [1, 3]])
def test_taking_gives_up_in_time_when_all_windows_are_full(sizes: list[int]) -> None:
    windows = Windows(sizes)
    while take(windows) is not None:
        pass
    assert windows.outstanding == tuple(sizes)


def hear_starving_chain(windows: Windows, clock: Clock, chain_index: int) -> None:
    """As many answers as let a control notice that nothing waits: ten stages that are mostly idle."""
    for _ in range(300):
        clock.now_s += 0.1 / windows.sizes[chain_index]
        windows.hear(chain_index, 0.1, wait_s=0.0, coding_s=0.0, compute_s=[0.001] * 10)


def test_window_grows_with_what_is_heard_and_wakes_who_waits_for_room() -> None:
    clock = Clock()
    windows = Windows([WindowControl(1)], clock)
    while take(windows) is not None:
        pass
    got: list[Slot | None] = []
    waiting = threading.Thread(
        target=lambda: got.append(windows.take(lambda outstanding: any_chain(windows, outstanding), TIMEOUT_S))
    )
    waiting.start()
    hear_starving_chain(windows, clock, 0)
    waiting.join(TIMEOUT_S)
    assert got != [None]
    assert windows.outstanding == (3,)
    assert windows.room_ahead() == windows.sizes[0] > 3


def test_window_that_shrinks_lets_nobody_in_until_enough_came_back() -> None:
    clock = Clock()
    windows = Windows([WindowControl(4)], clock)
    slots = [slot for slot in (take(windows) for _ in range(5)) if slot is not None]
    for _ in range(60):
        clock.now_s += 1.0
        windows.hear(0, 5.0, wait_s=3.9, coding_s=0.0, compute_s=[1.0, 0.03, 0.03, 0.03])
    assert windows.settled_sizes[0] < 5
    size = windows.sizes[0]
    while len(slots) >= size:
        assert take(windows) is None
        windows.give_back(slots.pop(), answered=True)
    assert take(windows) is not None


def test_windows_of_chains_change_apart_and_fixed_ones_never() -> None:
    clock = Clock()
    windows = Windows([WindowControl(1), WindowControl(1)], clock)
    hear_starving_chain(windows, clock, 1)
    assert windows.settled_sizes[0] == 2
    assert windows.settled_sizes[1] > 2
    fixed = Windows([2], clock)
    hear_starving_chain(fixed, clock, 0)
    assert fixed.sizes == fixed.settled_sizes == (2,)


def test_answer_without_timings_is_not_counted() -> None:
    clock = Clock()
    windows = Windows([WindowControl(1)], clock)
    for _ in range(100):
        clock.now_s += 0.05
        windows.hear(0, 0.1, wait_s=0.0, coding_s=0.0, compute_s=[])
    assert windows.sizes == (2,)

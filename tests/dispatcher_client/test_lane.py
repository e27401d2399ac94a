"""What a lane does with requests whose chain breaks: each ends once, nobody who notices or mends a break has to wait."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from dispatcher_client.errors import ChainClosedError, DispatcherError, ReplyTimeoutError
from dispatcher_client.incidents import Incident, Incidents
from dispatcher_client.lane import MOST_ATTEMPTS, TRANSITIONS, Lane, LaneEvent, LaneState
from fleet.errors import (
    BoardError,
    BoardOverloadedError,
    BoardRefusedError,
    BoardUnavailableError,
    ComputeFailedError,
    FrameDroppedError,
)
from fleet.event_loop import run_in_loop
from tests.dispatcher_client.fake_chain import FakeChain, post
from tests.transport.message_stream.by_hand import comes_true

GONE = BoardUnavailableError("b", "is gone")
SOON_S = 5.0


class Lanes:
    """Lanes that may answer for one another, and what they said of their breaks."""

    def __init__(self, *chains: FakeChain) -> None:
        self.breaks: list[tuple[Lane, DispatcherError]] = []
        self.incidents = Incidents()
        self.lanes = [self.lane(chain) for chain in chains]

    def lane(self, chain: FakeChain) -> Lane:
        return Lane(
            chain,  # type: ignore[arg-type]
            lambda lane, broken, error: self.breaks.append((lane, error)),
            self.elsewhere,
            self.incidents,
        )

    def elsewhere(self, lane: Lane) -> Lane | None:
        return next((other for other in self.lanes if other is not lane and other.state is LaneState.OPEN), None)


def no_thread(name: str) -> Callable[[], bool]:
    return lambda: name not in [thread.name for thread in threading.enumerate()]


def test_table_has_every_event_that_can_happen_in_each_state() -> None:
    impossible = {
        (LaneState.FAILED, LaneEvent.BROKE),  # its chain is broken
        (LaneState.MENDING, LaneEvent.BROKE),
        (LaneState.CLOSED, LaneEvent.BROKE),
        (LaneState.OPEN, LaneEvent.GIVEN_UP),  # nothing to give up
        (LaneState.FAILED, LaneEvent.GIVEN_UP),
        (LaneState.CLOSED, LaneEvent.GIVEN_UP),
        (LaneState.CLOSED, LaneEvent.RESUMED),  # the chain is given back
    }
    assert set(TRANSITIONS) == {(state, event) for state in LaneState for event in LaneEvent} - impossible


def test_what_was_in_flight_goes_to_the_next_chain_in_order() -> None:
    first, second = FakeChain(), FakeChain()
    lanes = Lanes(first)
    (lane,) = lanes.lanes
    requests = [post(lane, value) for value in range(8)]
    first.break_(GONE)
    assert lane.failure is None
    assert (lane.state, lane.is_mending, lanes.breaks) == (LaneState.MENDING, True, [(lane, GONE)])
    requests.append(post(lane, 8))
    assert lane.resume(second) is None  # type: ignore[arg-type]
    assert comes_true(lambda: len(second.posted) == 9)
    assert second.outstanding == list(range(9))
    second.answer_all()
    assert [request.result(SOON_S) for request in requests] == [[value] for value in range(9)]
    assert (lanes.incidents.times(Incident.BREAK), lanes.incidents.times(Incident.REPLAY)) == (1, 8)
    assert comes_true(no_thread("boardline-resend"))
    run_in_loop(lane.close())


def test_who_mends_does_not_wait_for_a_chain_that_takes_nothing() -> None:
    first, second, third = FakeChain(), FakeChain(), FakeChain()
    lanes = Lanes(first)
    (lane,) = lanes.lanes
    requests = [post(lane, value) for value in range(3)]
    first.break_(GONE)
    second.room.clear()
    began_s = time.monotonic()
    lane.resume(second)  # type: ignore[arg-type]
    assert time.monotonic() - began_s < 1
    second.break_(GONE)
    lane.resume(third)  # type: ignore[arg-type]
    for request, value in zip(requests, range(3)):  # one that the second chain had may go alone
        assert comes_true(lambda value=value: value in [posted for posted, _ in third.posted])  # type: ignore[misc]
        third.answer_all()
        assert request.result(SOON_S) == [value]
    run_in_loop(lane.close())


def test_deadline_of_each_holds_while_another_one_waits_for_room() -> None:
    first, second = FakeChain(), FakeChain()
    (lane,) = Lanes(first).lanes
    patient, hasty = post(lane, 0), post(lane, 1, timeout_s=0.5)
    second.room.clear()
    first.break_(GONE)
    lane.resume(second)  # type: ignore[arg-type]
    with pytest.raises(ReplyTimeoutError):
        hasty.result(SOON_S)
    assert not patient.done()
    run_in_loop(lane.close())
    with pytest.raises(ChainClosedError):
        patient.result(SOON_S)


def test_late_losses_go_to_the_open_lane_as_well() -> None:
    """Who mends hears of a break before the requests do: what is told then must not depend on who is faster."""
    broken, sound = FakeChain(), FakeChain()
    lane, other = Lanes(broken, sound).lanes
    requests = [post(lane, value) for value in range(4)]
    held = post(lane, 4, stays=True)
    broken.failure = GONE
    assert broken._on_break is not None
    broken._on_break(GONE)
    lane.give_up(GONE)  # there is no spare
    broken.fail_all(GONE)
    assert comes_true(lambda: len(sound.posted) == 4)
    sound.answer_all()
    assert [request.result(SOON_S) for request in requests] == [[0], [1], [2], [3]]
    for stays in (held, post(lane, 5, stays=True)):
        with pytest.raises(BoardUnavailableError):
            stays.result(SOON_S)
    assert lane.failure is GONE
    late = post(lane, 6)
    assert comes_true(lambda: sound.outstanding == [6])
    sound.break_(GONE)
    other.give_up(GONE)
    with pytest.raises(BoardUnavailableError):
        late.result(SOON_S)
    for each in (lane, other):
        run_in_loop(each.close())


def test_what_waits_goes_to_a_lane_that_is_mended_first() -> None:
    chains = FakeChain(), FakeChain()
    lane, other = Lanes(*chains).lanes
    request, stays = post(lane, 0), post(lane, 1, stays=True)
    for chain in chains:
        chain.break_(GONE)
    assert not request.done()
    mended = FakeChain()
    other.resume(mended)  # type: ignore[arg-type]
    lane.resend()
    assert comes_true(lambda: mended.outstanding == [0])
    mended.answer_all()
    assert request.result(SOON_S) == [0]
    run_in_loop(other.close())
    run_in_loop(lane.close())
    with pytest.raises(ChainClosedError):
        stays.result(SOON_S)


def test_poison_ends_with_the_error_and_those_beside_it_are_answered() -> None:
    poison, chains = 2, [FakeChain() for _ in range(MOST_ATTEMPTS + 1)]
    (lane,) = Lanes(chains[0]).lanes
    requests = [post(lane, value) for value in range(5)]
    for crowded, following in zip(chains[:2], chains[1:3]):
        assert comes_true(lambda crowded=crowded: len(crowded.outstanding) == 5)  # type: ignore[misc]
        crowded.break_(GONE)
        lane.resume(following)  # type: ignore[arg-type]
    for value in range(poison + 1):  # those that may be it go one after the other
        assert comes_true(lambda value=value: chains[2].outstanding == [value])  # type: ignore[misc]
        if value != poison:
            chains[2].answer_all()
    chains[2].break_(GONE)
    lane.resume(chains[3])  # type: ignore[arg-type]
    with pytest.raises(BoardUnavailableError, match="is gone"):
        requests[poison].result(SOON_S)
    deadline_s = time.monotonic() + SOON_S
    while not all(request.done() for request in requests) and time.monotonic() < deadline_s:
        chains[3].answer_all()
    assert [request.result(0) for request in requests if request is not requests[poison]] == [[0], [1], [3], [4]]
    run_in_loop(lane.close())


def test_error_of_a_frame_is_its_own_and_breaks_nothing() -> None:
    chain = FakeChain()
    lanes = Lanes(chain)
    (lane,) = lanes.lanes
    request = post(lane, 0)
    chain.posted[0][1].set_exception(ComputeFailedError("b", "cannot"))
    with pytest.raises(ComputeFailedError):
        request.result(SOON_S)
    assert (lane.state, lanes.breaks) == (LaneState.OPEN, [])
    run_in_loop(lane.close())


@pytest.mark.parametrize("kind", [ComputeFailedError, FrameDroppedError, BoardOverloadedError])
def test_error_of_a_frame_blames_no_board_for_a_chain_that_breaks_meanwhile(kind: type[BoardError]) -> None:
    chain = FakeChain()
    lanes = Lanes(chain)
    (lane,) = lanes.lanes
    request = post(lane, 0)
    chain.failure = GONE
    chain.posted[0][1].set_exception(kind("innocent", "says so"))
    with pytest.raises(kind):
        request.result(SOON_S)
    assert lanes.breaks == []
    run_in_loop(lane.close())


def test_refusal_of_a_frame_has_the_chain_mended() -> None:
    chain, again = FakeChain(), FakeChain()
    lanes = Lanes(chain)
    (lane,) = lanes.lanes
    request = post(lane, 0)
    refusal = BoardRefusedError("b", "stage 1 was unloaded")
    chain.posted[0][1].set_exception(refusal)
    assert lanes.breaks == [(lane, refusal)]
    lane.resume(again)  # type: ignore[arg-type]
    assert comes_true(lambda: again.outstanding == [0])
    again.answer_all()
    assert request.result(SOON_S) == [0]
    run_in_loop(lane.close())


def test_chain_that_broke_before_it_is_taken_up_is_told_at_once() -> None:
    first, second = FakeChain(), FakeChain()
    lanes = Lanes(first)
    (lane,) = lanes.lanes
    request = post(lane, 0)
    first.break_(GONE)
    second.failure = GONE
    lane.resume(second)  # type: ignore[arg-type]
    assert (lane.state, len(lanes.breaks)) == (LaneState.MENDING, 2)
    lane.give_up(GONE)
    with pytest.raises(BoardUnavailableError):
        request.result(SOON_S)
    run_in_loop(lane.close())


def test_closed_lane_gives_a_chain_back_and_takes_nothing() -> None:
    chain = FakeChain()
    late: Any = FakeChain()
    (lane,) = Lanes(chain).lanes
    lost = post(lane, 0)
    run_in_loop(lane.close())
    run_in_loop(lane.close())
    assert chain.closed.is_set()
    assert lane.resume(late) is late
    lane.give_up(GONE)
    for request in (lost, post(lane, 1)):
        with pytest.raises(ChainClosedError):
            request.result(SOON_S)


def test_defect_in_sending_ends_the_request_with_it() -> None:
    chain = FakeChain()
    (lane,) = Lanes(chain).lanes
    chain.post = lambda arrays, deadline: 1 // 0  # type: ignore[method-assign,return-value,assignment]
    with pytest.raises(ZeroDivisionError):
        post(lane, 0).result(SOON_S)
    run_in_loop(lane.close())


def test_request_that_was_cancelled_meanwhile_is_let_go() -> None:
    chain = FakeChain()
    (lane,) = Lanes(chain).lanes
    request = post(lane, 0)
    assert request.cancel()
    chain.answer_all()
    run_in_loop(lane.close())

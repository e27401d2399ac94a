"""One measurement at a time, none while the board drains."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from node_service.errors import RefusedError
from node_service.measuring_turn import MeasuringTurn


def with_turn(test: Callable[[MeasuringTurn, asyncio.Event], Awaitable[None]]) -> None:
    async def run() -> None:
        draining = asyncio.Event()
        await asyncio.wait_for(test(MeasuringTurn(draining), draining), 20)

    asyncio.run(run())


class Work:
    """Work that says when it has begun, and ends when it is told to."""

    def __init__(self) -> None:
        self.begun, self.may_end = asyncio.Event(), asyncio.Event()
        self.was_cancelled = False

    async def __call__(self) -> str:
        self.begun.set()
        try:
            await self.may_end.wait()
        except asyncio.CancelledError:
            self.was_cancelled = True
            raise
        return "done"


def test_second_measurement_waits_for_the_first() -> None:
    async def test(turn: MeasuringTurn, _draining: asyncio.Event) -> None:
        first, second = Work(), Work()
        taking = [asyncio.ensure_future(turn.take(work)) for work in (first, second)]
        await first.begun.wait()
        assert not second.begun.is_set()
        first.may_end.set()
        await second.begun.wait()
        second.may_end.set()
        assert await asyncio.gather(*taking) == ["done", "done"]

    with_turn(test)


def test_turn_goes_on_when_the_caller_gives_up() -> None:
    async def test(turn: MeasuringTurn, _draining: asyncio.Event) -> None:
        first, second = Work(), Work()
        taking = asyncio.ensure_future(turn.take(first))
        await first.begun.wait()
        taking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await taking
        assert first.was_cancelled
        second.may_end.set()
        assert await turn.take(second) == "done"

    with_turn(test)


def test_drain_ends_what_is_measured_and_what_waits_and_refuses_more() -> None:
    async def test(turn: MeasuringTurn, draining: asyncio.Event) -> None:
        first, second, third = Work(), Work(), Work()
        taking = [asyncio.ensure_future(turn.take(work)) for work in (first, second)]
        await first.begun.wait()
        draining.set()
        for result in await asyncio.gather(*taking, return_exceptions=True):
            assert isinstance(result, RefusedError)
            assert "is draining" in str(result)
        with pytest.raises(RefusedError):
            await turn.take(third)
        assert first.was_cancelled
        assert not second.begun.is_set()
        assert not third.begun.is_set()

    with_turn(test)


def test_error_of_the_measurement_is_the_callers() -> None:
    async def fail() -> None:
        raise ValueError("broken")

    async def test(turn: MeasuringTurn, _draining: asyncio.Event) -> None:
        with pytest.raises(ValueError, match="broken"):
            await turn.take(fail)

    with_turn(test)

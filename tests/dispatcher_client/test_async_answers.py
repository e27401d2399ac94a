"""Answers to many inputs come in order, no further ahead than there is room, and cancelled when nobody reads on."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import aclosing
from typing import Any

import pytest

from dispatcher_client.async_answers import answers_in_order

_TIMEOUT_S = 10


def _run(work: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(work, _TIMEOUT_S))


async def _source(n: int) -> AsyncIterator[int]:
    for value in range(n):
        await asyncio.sleep(0)
        yield value


class _Asked:
    """Who is asked answers in any order, and keeps count."""

    def __init__(self) -> None:
        self.open = self.most = self.cancelled = 0
        self._random = random.Random(1)

    async def __call__(self, value: int) -> int:
        self.open += 1
        self.most = max(self.most, self.open)
        try:
            await asyncio.sleep(self._random.random() * 0.005)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.open -= 1
        if value == 13:
            raise ValueError(value)
        return -value


@pytest.mark.parametrize("is_async", [True, False])
def test_answers_come_in_order_and_so_many_are_outstanding(is_async: bool) -> None:
    async def run() -> None:
        asked = _Asked()
        source = _source(13) if is_async else range(13)
        assert [a async for a in answers_in_order(source, asked, lambda: 3)] == [-v for v in range(13)]
        assert asked.most == 3

    _run(run())


def test_frames_of_several_inputs_have_room_for_as_many() -> None:
    async def run() -> None:
        asked = _Asked()
        answers = answers_in_order(range(12), asked, lambda: 2, inputs_per_frame=4, weigh=lambda value: 2)
        assert len([a async for a in answers]) == 12
        assert asked.most == 4

    _run(run())


def test_room_that_grows_while_nothing_else_happens_is_found() -> None:
    async def run() -> None:
        room, answer = 1, asyncio.Event()

        async def ask(value: int) -> int:
            nonlocal room
            if value == 0:
                await answer.wait()
            else:
                answer.set()
            return value

        def grow() -> None:
            nonlocal room
            room = 2

        asyncio.get_running_loop().call_later(0.02, grow)
        assert [a async for a in answers_in_order(range(2), ask, lambda: room)] == [0, 1]

    _run(run())


def test_error_comes_at_the_place_of_its_input_and_ends_the_stream() -> None:
    async def run() -> None:
        asked, got = _Asked(), []

        async def read() -> None:
            async for answer in answers_in_order(_source(20), asked, lambda: 4):
                got.append(answer)

        with pytest.raises(ValueError, match="13"):
            await read()
        assert got == [-v for v in range(13)]
        assert asked.open == 0

    _run(run())


def test_error_of_the_source_comes_after_the_answers_before_it() -> None:
    def source() -> Iterator[int]:
        yield 1
        raise KeyError("camera")

    async def run() -> None:
        answers = answers_in_order(source(), _Asked(), lambda: 4)
        assert await answers.__anext__() == -1
        with pytest.raises(KeyError, match="camera"):
            await answers.__anext__()

    _run(run())


def test_stream_that_is_left_early_cancels_what_it_asked_for() -> None:
    async def run() -> None:
        asked, ended = _Asked(), []
        async with aclosing(answers_in_order(_source(99), asked, lambda: 8, on_end=lambda: ended.append(1))) as answers:
            async for _ in answers:
                break
            assert asked.open
        assert asked.open == 0 and asked.cancelled and not ended

    _run(run())


def test_reader_that_is_cancelled_cancels_what_it_asked_for() -> None:
    async def run() -> None:
        asked = 0

        async def ask(value: int) -> int:
            nonlocal asked
            asked += 1
            try:
                return await asyncio.Future()
            finally:
                asked -= 1

        async def read() -> None:
            async with aclosing(answers_in_order(_source(99), ask, lambda: 8)) as answers:
                async for _ in answers:
                    pass

        reader = asyncio.ensure_future(read())
        while asked < 8:
            await asyncio.sleep(0)
        reader.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reader
        assert asked == 0

    _run(run())

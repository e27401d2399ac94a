"""Many inputs, overlapped, with their answers in the inputs' order, for callers that have an event loop."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable
from typing import Any, TypeVar, Union

_In = TypeVar("_In")
_Out = TypeVar("_Out")
# With several chains the room ahead grows while an answer is out, and nothing happens that would tell.
_LOOK_AGAIN_S = 0.05


async def answers_in_order(
    inputs: AsyncIterable[_In] | Iterable[_In],
    ask: Callable[[_In], Awaitable[_Out]],
    room_ahead: Callable[[], int],
    *,
    inputs_per_frame: int = 1,
    weigh: Callable[[_In], int] = lambda value: 1,
    on_end: Callable[[], None] = lambda: None,
) -> AsyncGenerator[_Out, None]:
    """As `stream_in_order`, but `ask` gives what can be awaited, and waiting is the loop's.

    Room is looked for when one of this stream's own answers comes or is read: without any, there is room.
    Args: room_ahead: how many answers may be outstanding or unread, in frames; the others as for `stream_in_order`.
    If the stream is left early, what was asked and not read is cancelled before it ends.
    Raises: what `ask` raises, at the place of the input that caused it; what `inputs` raises.
    """
    # Bounded by the room ahead.
    results: asyncio.Queue[Union[tuple[asyncio.Future[_Out], int], BaseException, None]] = asyncio.Queue()
    taken = read = 0
    moved = asyncio.Event()

    async def until_there_is_room() -> None:
        while taken - read >= room_ahead() * inputs_per_frame:
            moved.clear()
            look_again = asyncio.get_running_loop().call_later(_LOOK_AGAIN_S, moved.set)
            await moved.wait()
            look_again.cancel()

    async def feed() -> None:
        nonlocal taken
        source = inputs.__aiter__() if isinstance(inputs, AsyncIterable) else _each(inputs)
        try:
            while True:
                await until_there_is_room()
                try:
                    value = await source.__anext__()
                except StopAsyncIteration:
                    break
                weight = weigh(value)
                taken += weight
                task = asyncio.ensure_future(ask(value))
                task.add_done_callback(lambda _: moved.set())
                results.put_nowait((task, weight))
            on_end()
            results.put_nowait(None)
        except Exception as error:
            results.put_nowait(error)

    feeder = asyncio.ensure_future(feed())
    try:
        while (item := await results.get()) is not None:
            if isinstance(item, BaseException):
                raise item
            task, weight = item
            answer = await task
            read += weight
            moved.set()
            yield answer
    finally:
        await _cancelled(feeder)
        while not results.empty():
            unread = results.get_nowait()
            if isinstance(unread, tuple):
                await _cancelled(unread[0])


async def _each(inputs: Iterable[_In]) -> AsyncIterator[_In]:
    for value in inputs:
        yield value


async def _cancelled(task: asyncio.Future[Any]) -> None:
    """Ends a task; what it raises concerns nobody any more."""
    task.cancel()
    with contextlib.suppress(Exception, asyncio.CancelledError):
        await task

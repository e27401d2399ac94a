"""The dispatcher for applications that have an event loop."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Iterable
from concurrent.futures import Future
from functools import partial
from types import TracebackType

from bundle import Bundle
from dispatcher_client.async_answers import answers_in_order
from dispatcher_client.dispatcher_base import DispatcherBase, not_open
from dispatcher_client.line import Line
from dispatcher_client.placement import PlanSource
from dispatcher_client.values import Answer, Values


class AsyncDispatcher(DispatcherBase):
    """As `Dispatcher`, with the same words, for coroutines; nothing that it does blocks their event loop.

        async with AsyncDispatcher(bundle="parts/", boards="boards.yaml") as chain:
            y = await chain.infer(x)
            async for y in chain.stream(frames):
                ...

    A call that is cancelled, by asyncio.timeout or with its task, is cancelled on the boards as well. Requests wait for room in
    a line, which a thread for each chain sends; `max_waiting` bounds the line.
    """

    _line: Line | None = None  # while it is open

    async def __aenter__(self) -> AsyncDispatcher:
        await self.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def open(self) -> None:
        """As `Dispatcher.open`. If it is cancelled, it closes what it has opened, which takes up to `open_timeout_s`."""
        try:
            await _in_thread(self._open)
        except asyncio.CancelledError:
            await _in_thread(self._close)
            raise
        if self._line is None:
            self._line = Line(len(self._release.placements), self._door, self._free_places)

    async def close(self) -> None:
        """As `Dispatcher.close`; what was not sent yet ends with ChainClosedError."""
        await _in_thread(self._close)

    def _close(self) -> None:
        line, self._line = self._line, None
        if line is not None:
            line.close()
        super()._close()  # those whom the line's threads have sent find room or an end then
        if line is not None:
            line.wait_until_left()

    async def deploy(self, bundle: str | os.PathLike[str] | Bundle, *, plan: PlanSource | None = None) -> None:
        """As `Dispatcher.deploy`. Once begun it goes to its end, even if the task is cancelled meanwhile."""
        await _in_thread(partial(self._deploy, bundle, plan))

    async def infer(self, values: Values, timeout_s: float | None = None, *, chain_index: int | None = None) -> Answer:
        """As `Dispatcher.infer`. The arrays must stay as they are until the answer comes."""
        return await self._ask(values, timeout_s, chain_index)

    async def stream(
        self, frames: AsyncIterable[Values] | Iterable[Values], timeout_s: float | None = None
    ) -> AsyncGenerator[Answer, None]:
        """Answers to many inputs, overlapped, in order; see `Dispatcher.stream`.

        Args: frames: an asynchronous source; or any other that never waits, since it would have the loop wait.
        If it is left early, what was sent is cancelled when the generator is closed: contextlib.aclosing does that at once.
        """
        answers = answers_in_order(
            frames,
            partial(self._ask, timeout_s=timeout_s, is_counted=False),
            self.room_ahead,
            inputs_per_frame=self.batch,
            weigh=self._weight,
            on_end=self._flush_behind_those_in_the_line,
        )
        try:
            async for answer in answers:
                yield answer
        finally:
            await answers.aclose()

    def room_ahead(self) -> int:
        """How many frames a stream may have outstanding or unread, to keep all chains busy; see `windows.py`."""
        return self._release.windows.room_ahead()

    def _ask(
        self, values: Values, timeout_s: float | None, chain_index: int | None = None, *, is_counted: bool = True
    ) -> asyncio.Future[Answer]:
        """Joins the line at once, so that what joins it next comes after."""
        if self._line is None:
            raise not_open()
        deadline = self._deadline(timeout_s)
        send = partial(self._enter, values, deadline, chain_index, None)
        join = partial(self._line.join, send, deadline, is_counted=is_counted)
        return asyncio.wrap_future(self._counted(join))

    def _free_places(self) -> int:
        return self._release.windows.free_places * self.batch

    def _flush_behind_those_in_the_line(self) -> None:
        def flush() -> Future[None]:
            self._release.flush()
            done: Future[None] = Future()
            done.set_result(None)
            return done

        if self._line is not None:
            self._line.join(flush, self._deadline(None), is_counted=False)


async def _in_thread(work: Callable[[], None]) -> None:
    """Runs what blocks; a cancelled caller waits for its end, since a thread cannot be cancelled."""
    running = asyncio.ensure_future(asyncio.to_thread(work))
    try:
        await asyncio.shield(running)
    except asyncio.CancelledError:
        await asyncio.wait({running})
        running.exception()  # nobody asks for it any more, which the loop would complain of
        raise

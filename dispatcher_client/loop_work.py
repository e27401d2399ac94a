"""A thread's work in the shared event loop that others can end: a deployment must hold up neither a close nor a repair."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from fleet.event_loop import run_in_loop, shared_loop

_T = TypeVar("_T")


class WorkInterrupted(Exception):  # noqa: N818 - no error: somebody wanted it
    """The work was cancelled, and has tidied up."""


class LoopWork:
    """One thread runs coroutines, one at a time; any thread may end them."""

    def __init__(self, is_urgent: Callable[[], bool]) -> None:
        """Args: is_urgent: whether something waits for which work that gives way is cancelled."""
        self._is_urgent = is_urgent
        self._is_ended = False
        self._task: asyncio.Task[Any] | None = None  # this and the next belong to the loop
        self._gives_way = False

    def run(self, work: Coroutine[Any, Any, _T], *, gives_way: bool = False) -> _T:
        """The coroutine's result. Raises: WorkInterrupted: by `end`, or because it gives way."""
        return run_in_loop(self._run(work, gives_way))

    def hurry(self) -> None:
        """Something urgent waits."""
        shared_loop().call_soon_threadsafe(self._look)

    def end(self) -> None:
        """Cancels what runs, and all that would be run later."""
        self._is_ended = True
        self.hurry()

    async def _run(self, work: Coroutine[Any, Any, _T], gives_way: bool) -> _T:
        task: asyncio.Task[_T] = asyncio.ensure_future(work)
        self._task = task
        self._gives_way = gives_way
        self._look()
        try:
            return await task
        except asyncio.CancelledError:
            raise WorkInterrupted from None
        finally:
            self._task = None

    def _look(self) -> None:
        if self._task is not None and (self._is_ended or (self._gives_way and self._is_urgent())):
            self._task.cancel()

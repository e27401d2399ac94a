"""Who may measure: one at a time, and nobody once the board drains."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from node_service.errors import RefusedError

_T = TypeVar("_T")


class MeasuringTurn:
    """Two measurements at once would measure each other."""

    def __init__(self, draining: asyncio.Event) -> None:
        self._draining = draining
        self._one_at_a_time = asyncio.Lock()

    async def take(self, work: Callable[[], Coroutine[Any, Any, _T]]) -> _T:
        """What `work` returns, once it is its turn. It is cancelled when this is, and when the board begins to drain.

        Raises: RefusedError: the board drains.
        """
        refusal = RefusedError("is draining and measures nothing.")
        if self._draining.is_set():
            raise refusal
        drained = asyncio.ensure_future(self._draining.wait())
        working = asyncio.ensure_future(self._in_turn(work))
        try:
            await asyncio.wait({drained, working}, return_when=asyncio.FIRST_COMPLETED)
            if not working.done():
                raise refusal
            return working.result()
        finally:
            drained.cancel()
            working.cancel()
            await asyncio.gather(drained, working, return_exceptions=True)

    async def _in_turn(self, work: Callable[[], Coroutine[Any, Any, _T]]) -> _T:
        async with self._one_at_a_time:
            return await work()

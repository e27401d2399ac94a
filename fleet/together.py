"""Work on several boards at once that is over on all of them when it is over."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable
from typing import Any, TypeVar

_T = TypeVar("_T")


async def together(works: Iterable[Coroutine[Any, Any, _T]]) -> list[_T]:
    """All results, in order; if one fails, the others are cancelled, and have tidied up, before its error is raised.

    `asyncio.gather` alone would raise at once and leave them running: boards would measure on for a client that is gone. Each
    is cancelled once: a second time would end its tidying up.
    """
    tasks = [asyncio.ensure_future(work) for work in works]
    if not tasks:
        return []
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
    for task in tasks:
        if task in done and not task.cancelled():
            task.result()
    return [task.result() for task in tasks]

"""Work on several boards at once that is over on all of them when it is over."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable
from typing import Any, TypeVar

_T = TypeVar("_T")


async def together(works: Iterable[Coroutine[Any, Any, _T]]) -> list[_T]:
    """All results, in order; if one fails, the others are cancelled, and have tidied up, before its error is raised.

    `asyncio.gather` alone would raise at once and leave them running: boards would measure on for a client that is gone.
    """
    tasks = [asyncio.ensure_future(work) for work in works]
    try:
        return list(await asyncio.gather(*tasks))
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

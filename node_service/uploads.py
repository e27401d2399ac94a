"""Files that arrive in chunks: who stops in their midst loses his place."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

from node_service.errors import BadRequestError

# The board is taken while a file arrives, or room is kept for it.
UPLOAD_SILENCE_S = 30.0
_REST_S = 5.0


async def unless_silent(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The chunks. Raises: BadRequestError: none came for a while."""
    while True:
        try:
            yield await asyncio.wait_for(chunks.__anext__(), UPLOAD_SILENCE_S)
        except StopAsyncIteration:
            return
        except asyncio.TimeoutError:
            raise BadRequestError(
                f"nothing arrived for {UPLOAD_SILENCE_S:g} s in the middle of the partition."
            ) from None


async def take_the_rest(parts: AsyncIterator[Any]) -> None:
    """Reads what still comes of an upload that is refused, for some seconds at most.

    grpcio's asyncio client forgets why a call was refused when it is in the midst of writing (grpc/grpc#36066): its caller
    would be told that the connection broke.
    """

    async def take() -> None:
        async for _part in parts:
            pass

    with suppress(asyncio.TimeoutError):
        await asyncio.wait_for(take(), _REST_S)

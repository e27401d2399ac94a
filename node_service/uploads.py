"""Files that arrive in chunks: who stops in their midst loses his place."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from node_service.errors import BadRequestError

# The board is taken while a file arrives, or room is kept for it.
UPLOAD_SILENCE_S = 30.0


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

"""The hop behind this one: opens the stream to the next board, sends frames, gives its replies back undecoded."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import grpc.aio

from node_service.errors import PeerUnavailableError, RelayedError
from protos.v1.data_plane_pb2 import Header, Hop, OpenStream
from transport.address import Address
from transport.channel import open_channel, raw_stream
from transport.frame import pack_frame, unpack_frame


class NextBoard:
    """An open stream to the board that serves the next stage."""

    def __init__(self, hop: Hop, *, insecure: bool, max_frame_bytes: int) -> None:
        """Raises: AddressError, PlaintextRefusedError."""
        self._hop = hop
        self._channel = open_channel(Address.parse(hop.address), insecure=insecure, max_frame_bytes=max_frame_bytes)
        self._call = raw_stream(self._channel)

    async def open(self, opening: OpenStream) -> list[str]:
        """Opens the stream and the hops behind it; the names of the boards there.

        Raises: PeerUnavailableError: it cannot be reached or does not answer in time. RelayedError: it, or a board behind it,
            refuses. FrameError: it answers with something else.
        """
        try:
            answer = await asyncio.wait_for(self._ask(pack_frame(Header(open=opening))), opening.timeout_s)
        except asyncio.TimeoutError:
            raise self._unavailable(f"did not open its stream within {opening.timeout_s:.2g} s") from None
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError) as error:
            raise await self._broken(error) from error
        if answer is grpc.aio.EOF:
            raise await self._broken(None)
        header, _ = unpack_frame(answer)
        if header.HasField("error"):
            raise RelayedError(header.error)
        if not header.HasField("opened"):
            raise self._unavailable("answered the opening of the stream with something else")
        return list(header.opened.boards)

    async def _ask(self, message: bytes) -> Any:
        await self._call.write(message)
        return await self._call.read()

    async def send(self, message: bytes) -> None:
        """Returns once the transport has taken the message. Raises: PeerUnavailableError."""
        try:
            await self._call.write(message)
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError) as error:
            raise await self._broken(error) from error

    async def replies(self) -> AsyncIterator[bytes]:
        """The replies, until the next board ends the stream. Raises: PeerUnavailableError: the stream broke."""
        while True:
            try:
                reply = await self._call.read()
            except grpc.aio.AioRpcError as error:
                raise await self._broken(error) from error
            if reply is grpc.aio.EOF:
                break
            yield reply
        if await self._call.code() != grpc.StatusCode.OK:
            raise await self._broken(None)

    async def finish(self) -> None:
        """Says that no more frames come."""
        try:
            await self._call.done_writing()
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError) as error:
            raise await self._broken(error) from error

    async def close(self) -> None:
        """Ends the stream at once; does nothing to one that has ended."""
        self._call.cancel()
        await self._channel.close()

    async def _broken(self, error: BaseException | None) -> PeerUnavailableError:
        code, details = await self._call.code(), await self._call.details()
        return self._unavailable(f"broke the stream: {code.name}: {details or error or 'no reason given'}")

    def _unavailable(self, what: str) -> PeerUnavailableError:
        return PeerUnavailableError(
            self._hop.board,
            f"{self._hop.address} {what}. Is its node service running, and reachable from the board before it?",
        )

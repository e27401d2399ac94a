"""The data plane's servicer: opens a stream's stage and the hops behind it, then lets it run."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import Any

import grpc
import grpc.aio

from node_service.config import NodeConfig
from node_service.deployments import Deployments
from node_service.errors import (
    BadRequestError,
    RefusedError,
    WrongVersionError,
    is_expected,
    to_frame_error,
)
from node_service.next_board import NextBoard
from node_service.stage import Stage
from node_service.stage_stream import StageStream
from protos.v1.data_plane_pb2 import Header, Opened, OpenStream
from transport.channel import PROTOCOL_VERSION
from transport.errors import FrameError
from transport.frame import pack_frame, unpack_frame
from transport.tensor_codec import available_codecs

_log = logging.getLogger(__name__)

SERVICE_NAME = "boardline.v1.DataPlane"
_FIRST_MESSAGE_TIMEOUT_S = 10.0
_MAX_OPEN_TIMEOUT_S = 120.0


class DataPlane:
    """Serves `boardline.v1.DataPlane` with messages as plain bytes."""

    def __init__(self, config: NodeConfig, deployments: Deployments, draining: asyncio.Event) -> None:
        self._config = config
        self._deployments = deployments
        self._draining = draining

    def handler(self) -> grpc.GenericRpcHandler:
        """For `grpc.aio.Server.add_generic_rpc_handlers`; no serialisers, frames are packed by hand."""
        method = grpc.stream_stream_rpc_method_handler(self._stream)
        return grpc.method_handlers_generic_handler(SERVICE_NAME, {"Stream": method})

    async def _stream(self, _messages: Any, call: grpc.aio.ServicerContext[bytes, bytes]) -> None:
        writing = asyncio.Lock()  # relay, work and send all reply; a call takes one write at a time

        async def reply(message: bytes) -> None:
            async with writing:
                await call.write(message)

        async def receive() -> bytes | None:
            message: Any = await call.read()
            return None if message is grpc.aio.EOF else message

        try:
            await self._serve(receive, reply)
        except Exception as error:
            if not is_expected(error):
                _log.exception("a stream ended by a defect")
            else:
                _log.warning("a stream ended: %s", error)
            with contextlib.suppress(grpc.RpcError, asyncio.InvalidStateError):  # the peer may have gone
                await reply(pack_frame(Header(error=to_frame_error(error, self._config.name, 0))))

    async def _serve(self, receive: Any, reply: Any) -> None:
        opening = await _read_opening(receive)
        hop = opening.hops[0]
        stage = self._find_stage(opening)
        next_board = await self._open_next(opening, reply)
        if next_board is None and len(opening.hops) > 1:
            return  # the hop behind answered with an error, which has been passed on
        stream = StageStream(stage, hop.board, opening.codec, reply, next_board)
        stage.streams += 1
        try:
            await stream.run(receive, self._draining)
        except Exception as error:
            if not is_expected(error):
                _log.exception("a stream of %s ended by a defect", opening.deployment_id)
            else:
                _log.warning("a stream of %s ended: %s", opening.deployment_id, error)
            with contextlib.suppress(grpc.RpcError, asyncio.InvalidStateError):
                await stream.reply_error(error)
        finally:
            stage.streams -= 1
            if next_board is not None:
                await next_board.close()

    def _find_stage(self, opening: OpenStream) -> Stage:
        if self._draining.is_set():
            raise RefusedError(f"board {opening.hops[0].board} is draining and takes no new streams.")
        if opening.codec not in available_codecs():
            raise RefusedError(f"board {opening.hops[0].board} has no codec number {opening.codec}; use raw.")
        return self._deployments.get(opening.deployment_id, opening.hops[0].stage_index)

    async def _open_next(self, opening: OpenStream, reply: Any) -> NextBoard | None:
        """The open next hop; None on the last board, or if the answer of a hop behind was an error (then passed on)."""
        hops = opening.hops
        if len(hops) == 1:
            await reply(pack_frame(Header(opened=Opened(boards=[hops[0].board]))))
            return None
        onward = OpenStream()
        onward.CopyFrom(opening)
        del onward.hops[0]
        next_board = NextBoard(hops[1], insecure=self._config.insecure, max_frame_bytes=self._config.max_frame_bytes)
        try:
            answer = await next_board.open(onward)
            header, _ = unpack_frame(answer)
            if header.HasField("opened"):
                boards = [hops[0].board, *header.opened.boards]
                await reply(pack_frame(Header(opened=Opened(boards=boards))))
                return next_board
            await reply(answer)
        except BaseException:
            await next_board.close()
            raise
        await next_board.close()
        return None


async def _read_opening(receive: Any) -> OpenStream:
    try:
        message = await asyncio.wait_for(receive(), _FIRST_MESSAGE_TIMEOUT_S)
    except asyncio.TimeoutError:
        raise BadRequestError(f"no message came within {_FIRST_MESSAGE_TIMEOUT_S:g} s of opening the stream.") from None
    if message is None:
        raise BadRequestError("the stream ended before its first message.")
    header, _ = unpack_frame(message)
    opening = header.open
    if not header.HasField("open"):
        raise FrameError("the first message of a stream must open it (Header.open).")
    if opening.protocol_version != PROTOCOL_VERSION:
        raise WrongVersionError(
            f"the peer speaks protocol version {opening.protocol_version}, this board {PROTOCOL_VERSION}. "
            "Install the same version of boardline on both."
        )
    if not opening.hops or not 0 < opening.timeout_s <= _MAX_OPEN_TIMEOUT_S:
        raise BadRequestError(
            f"a stream is opened with at least one hop and a time-out of up to {_MAX_OPEN_TIMEOUT_S:g} s."
        )
    return opening

"""The data plane's servicer: opens a stream's stage or probe and the hops behind it, then lets it run."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
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
from node_service.frame_work import FrameStage
from node_service.next_board import NextBoard
from node_service.probe_stage import Probes
from node_service.stage_stream import Receive, Send, StageStream
from protos.v1.data_plane_pb2 import Header, Opened, OpenStream
from transport.channel import OPENING_SHARE, PROTOCOL_VERSION
from transport.errors import FrameError
from transport.frame import pack_frame, unpack_frame
from transport.tensor_codec import available_codecs

_log = logging.getLogger(__name__)

SERVICE_NAME = "boardline.v1.DataPlane"
_FIRST_MESSAGE_TIMEOUT_S = 10.0
_MAX_OPEN_TIMEOUT_S = 120.0


class DataPlane:
    """Serves `boardline.v1.DataPlane` with messages as plain bytes."""

    def __init__(self, config: NodeConfig, deployments: Deployments, probes: Probes, draining: asyncio.Event) -> None:
        self._config = config
        self._deployments = deployments
        self._probes = probes
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

        board, stage_index = self._config.name, 0
        try:
            opening = await _read_opening(receive)
            board, stage_index = opening.hops[0].board, opening.hops[0].stage_index
            await self._serve(opening, receive, reply)
        except Exception as error:
            if is_expected(error):
                _log.warning("a stream to stage %d ended: %s", stage_index, error)
            else:
                _log.exception("a stream to stage %d ended by a defect", stage_index)
            with contextlib.suppress(
                grpc.RpcError, grpc.aio.UsageError, asyncio.InvalidStateError
            ):  # the peer may be gone
                await reply(pack_frame(Header(error=to_frame_error(error, board, stage_index))))

    async def _serve(self, opening: OpenStream, receive: Receive, reply: Send) -> None:
        async with self._stage(opening) as stage:
            this, next_board = opening.hops[0], self._next_board(opening)
            try:
                behind = await next_board.open(_onward(opening)) if next_board is not None else []
                await reply(pack_frame(Header(opened=Opened(boards=[this.board, *behind]))))
                stream = StageStream(stage, this.board, opening.codec, reply, next_board)
                await stream.run(receive, self._draining)
            finally:
                if next_board is not None:
                    await next_board.close()

    @contextlib.asynccontextmanager
    async def _stage(self, opening: OpenStream) -> AsyncIterator[FrameStage]:
        this = opening.hops[0]
        if self._draining.is_set():
            raise RefusedError(f"board {this.board} is draining and takes no new streams.")
        if opening.codec not in available_codecs():
            raise RefusedError(f"board {this.board} has no codec number {opening.codec}; use raw.")
        if opening.probe:
            async with self._probes.open(this) as probe:
                yield probe
            return
        stage = self._deployments.get(opening.deployment_id, this.stage_index)
        stage.streams += 1
        try:
            yield stage
        finally:
            stage.streams -= 1

    def _next_board(self, opening: OpenStream) -> NextBoard | None:
        """The hop behind this board, not yet open; None on the last board."""
        if len(opening.hops) == 1:
            return None
        return NextBoard(opening.hops[1], insecure=self._config.insecure, max_frame_bytes=self._config.max_frame_bytes)


def _onward(opening: OpenStream) -> OpenStream:
    """What the next board is told: one hop less, and less time, so that the board before the one at fault gives up first."""
    onward = OpenStream()
    onward.CopyFrom(opening)
    del onward.hops[0]
    onward.timeout_s *= OPENING_SHARE
    return onward


async def _read_opening(receive: Receive) -> OpenStream:
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

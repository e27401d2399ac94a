"""One stream through this board: receive, compute and send overlap; replies from behind are passed on undecoded."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from node_service.errors import RefusedError, is_expected, to_frame_error
from node_service.frame_work import FrameStage
from node_service.next_board import NextBoard
from protos.v1.data_plane_pb2 import Codec, Header, StageTiming
from transport.errors import FrameError
from transport.frame import EncodedTensor, pack_frame, unpack_frame

Receive = Callable[[], Awaitable["bytes | None"]]
Send = Callable[[bytes], Awaitable[None]]


@dataclass(frozen=True)
class _Arrived:
    header: Header
    tensors: list[EncodedTensor]
    arrived_ns: int
    message_bytes: int


class StageStream:
    """Carries frames through one stage, in order.

        receive -> [1] -> work -> [1] -> send -> next board (or, on the last board, back to the one before)
                                          relay <- next board

    One slot between the steps is enough: each step holds one frame, so reading the next, computing this one and sending the
    last overlap; more slots would only add latency. What is in flight in all is limited by the dispatcher.
    """

    def __init__(self, stage: FrameStage, board: str, codec: Codec, reply: Send, next_board: NextBoard | None) -> None:
        self._stage = stage
        self._board = board
        self._codec = codec
        self._reply = reply
        self._next = next_board
        self._arrived: asyncio.Queue[_Arrived | None] = asyncio.Queue(maxsize=1)
        self._leaving: asyncio.Queue[bytes | None] = asyncio.Queue(maxsize=1)
        self._send_ns = 0

    async def run(self, receive: Receive, draining: asyncio.Event) -> None:
        """Serves until the sender half-closes, the board drains, or something breaks.

        Args:
            receive: the next message; None at the end of the stream.
            draining: once set, nothing more is read; what was read is answered, then the caller is told.
        Raises: FrameError: a message that is no frame. PeerUnavailableError: the next board is gone. RefusedError: the board
            drains.
        """
        steps = [self._receive(receive, draining), self._work(), self._send()]
        if self._next is not None:
            steps.append(self._relay(self._next))
        tasks = [asyncio.ensure_future(step) for step in steps]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        if draining.is_set():
            raise RefusedError(f"board {self._board} is draining: it shuts down or is taken out of service.")

    async def reply_error(self, error: Exception, request_id: int = 0) -> None:
        """Tells the dispatcher what went wrong, with one frame or (request_id 0) with the stream."""
        told = to_frame_error(error, self._board, self._stage.stage_index)
        await self._reply(pack_frame(Header(request_id=request_id, error=told)))

    async def _receive(self, receive: Receive, draining: asyncio.Event) -> None:
        drained = asyncio.ensure_future(draining.wait())
        reading: asyncio.Future[bytes | None] = asyncio.ensure_future(receive())
        try:
            while True:
                either: set[asyncio.Future[Any]] = {reading, drained}
                await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
                message = reading.result() if reading.done() else None
                if message is None:
                    break
                await self._take(message)
                reading = asyncio.ensure_future(receive())
        finally:
            for waiting in (drained, reading):
                waiting.cancel()
            await asyncio.gather(drained, reading, return_exceptions=True)
        await self._arrived.put(None)

    async def _take(self, message: bytes) -> None:
        arrived_ns = time.perf_counter_ns()
        try:
            header, tensors = unpack_frame(message)
        except FrameError as error:
            if not error.request_id:
                raise  # whose frame it was cannot be told, so the stream cannot go on
            await self.reply_error(error, error.request_id)
        else:
            await self._arrived.put(_Arrived(header, tensors, arrived_ns, len(message)))

    async def _work(self) -> None:
        while (frame := await self._arrived.get()) is not None:
            try:
                message = await self._process(frame)
            except Exception as error:
                if not is_expected(error):
                    raise
                await self.reply_error(error, frame.header.request_id)
            else:
                await self._leaving.put(message)
        await self._leaving.put(None)

    async def _process(self, frame: _Arrived) -> bytes:
        work = await self._stage.process(frame.tensors, frame.arrived_ns, self._codec)
        timing = StageTiming(
            stage_index=self._stage.stage_index,
            wait_ns=work.wait_ns,
            decode_ns=work.decode_ns,
            compute_ns=work.compute_ns,
            encode_ns=work.encode_ns,
            send_ns=self._send_ns,
            received_bytes=frame.message_bytes,
            sent_bytes=sum(len(t.data) for t in work.leaving),
            service_cpu_ns=time.process_time_ns(),
        )
        header = Header(request_id=frame.header.request_id, timings=[*frame.header.timings, timing])
        return pack_frame(header, work.leaving)

    async def _send(self) -> None:
        send = self._reply if self._next is None else self._next.send
        while (message := await self._leaving.get()) is not None:
            begun_ns = time.perf_counter_ns()
            await send(message)
            self._send_ns = time.perf_counter_ns() - begun_ns
        if self._next is not None:
            await self._next.finish()

    async def _relay(self, next_board: NextBoard) -> None:
        async for reply in next_board.replies():
            await self._reply(reply)

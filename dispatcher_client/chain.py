"""The open stream to the first board: sends requests, matches replies by id, ends every request with an answer or an error."""

from __future__ import annotations

import asyncio
import itertools
import logging
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, InvalidStateError
from dataclasses import dataclass
from typing import Any

import grpc
import grpc.aio

from dispatcher_client.errors import ChainClosedError, DispatcherError, ReplyTimeoutError
from dispatcher_client.placement import ChainPlacement
from fleet.errors import BoardDefectError, BoardUnavailableError, from_wire
from fleet.inventory import Board
from protos.v1.data_plane_pb2 import Codec, Header, Hop, OpenStream, StageTiming
from transport.channel import OPENING_SHARE, PROTOCOL_VERSION, open_channel, raw_stream
from transport.errors import TransportError
from transport.frame import EncodedTensor, pack_frame, unpack_frame

_log = logging.getLogger(__name__)
_CLOSE_TIMEOUT_S = 10.0


@dataclass(frozen=True)
class ReplyReport:
    """What is known of one answered request: its latency, as the application saw it, and each stage's timing.

    Request ids count from 1 in each chain.
    """

    chain_index: int
    request_id: int
    latency_s: float
    timings: tuple[StageTiming, ...]
    sent_bytes: int
    received_bytes: int


@dataclass(frozen=True)
class _Pending:
    future: Future[list[EncodedTensor]]
    sent_at_s: float
    sent_bytes: int
    timer: asyncio.TimerHandle


class Chain:
    """One stream through all boards. All methods but `post` belong to the event loop."""

    def __init__(
        self,
        placement: ChainPlacement,
        codec: Codec,
        *,
        insecure: bool,
        on_reply: Callable[[ReplyReport], None],
    ) -> None:
        self.placement = placement
        self._codec = codec
        self._on_reply = on_reply
        self._loop = asyncio.get_running_loop()
        self._ids = itertools.count(1)
        self._pending: dict[int, _Pending] = {}
        # Bounded by the dispatcher's window, and by the frames that timed out before they were written: those are skipped.
        self._outgoing: asyncio.Queue[tuple[int, bytes] | None] = asyncio.Queue()
        self._broken: DispatcherError | None = ChainClosedError("the chain is not open.")
        self._channel = open_channel(self._first.address, insecure=insecure)
        self._call: Any = None
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def failure(self) -> DispatcherError | None:
        """Why the chain takes no requests, or None while it is open; may be asked on any thread."""
        return self._broken

    @property
    def _first(self) -> Board:
        return self.placement.stages[0].board

    async def open(self, timeout_s: float) -> list[str]:
        """Opens the stream through every board; their names. Raises: BoardError: the board that could not be opened."""
        hops = [
            Hop(board=s.board.name, address=str(s.board.address), stage_index=s.stage_index)
            for s in self.placement.stages
        ]
        opening = OpenStream(
            protocol_version=PROTOCOL_VERSION,
            deployment_id=self.placement.splitting.deployment_id,
            hops=hops,
            codec=self._codec,
            timeout_s=timeout_s * OPENING_SHARE,
        )
        self._call = raw_stream(self._channel)
        try:
            message = await asyncio.wait_for(self._ask(pack_frame(Header(open=opening))), timeout_s)
        except asyncio.TimeoutError:
            raise BoardUnavailableError(self._first.name, f"the chain did not open within {timeout_s:g} s.") from None
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError) as error:
            raise await self._stream_error(error) from error
        if message is grpc.aio.EOF:
            raise await self._stream_error(None)
        header, _ = unpack_frame(message)
        if header.HasField("error"):
            raise from_wire(header.error)
        if not header.HasField("opened"):
            raise BoardDefectError(self._first.name, "answered the opening of the stream with something else.")
        self._broken = None
        self._tasks = [asyncio.ensure_future(self._write()), asyncio.ensure_future(self._read())]
        return list(header.opened.boards)

    async def _ask(self, message: bytes) -> Any:
        await self._call.write(message)
        return await self._call.read()

    def post(self, tensors: Sequence[EncodedTensor], timeout_s: float) -> Future[list[EncodedTensor]]:
        """Sends one request, from any thread; the future ends with the reply's tensors or a DispatcherError."""
        request_id = next(self._ids)
        message = pack_frame(Header(request_id=request_id), tensors)
        future: Future[list[EncodedTensor]] = Future()
        self._loop.call_soon_threadsafe(self._post, request_id, message, future, timeout_s)
        return future

    async def close(self) -> None:
        """Lets the boards answer what they have, then ends the stream; waiting requests end with ChainClosedError."""
        if self._broken is None:
            self._broken = ChainClosedError("the chain was closed.")
            await self._outgoing.put(None)
            await asyncio.wait(self._tasks, timeout=_CLOSE_TIMEOUT_S)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._call is not None:
            self._call.cancel()
        await self._channel.close()
        self._fail_all(ChainClosedError("the chain was closed before the answer came."))

    def _post(self, request_id: int, message: bytes, future: Future[list[EncodedTensor]], timeout_s: float) -> None:
        if self._broken is not None:
            _end(future, _again(self._broken))
            return
        timer = self._loop.call_later(timeout_s, self._expire, request_id, timeout_s)
        self._pending[request_id] = _Pending(future, time.perf_counter(), len(message), timer)
        self._outgoing.put_nowait((request_id, message))

    async def _write(self) -> None:
        while (outgoing := await self._outgoing.get()) is not None:
            request_id, message = outgoing
            if request_id not in self._pending:
                continue  # it timed out while it waited here; nobody would read the answer
            try:
                await self._call.write(message)
            except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
                return  # the reader sees the end of the stream and knows why
        await self._call.done_writing()

    async def _read(self) -> None:
        try:
            while (message := await self._call.read()) is not grpc.aio.EOF:
                self._answer(message)
            error = await self._stream_error(None)
        except grpc.aio.AioRpcError as rpc_error:
            error = await self._stream_error(rpc_error)
        except TransportError as frame_error:
            error = BoardDefectError(self._first.name, f"sent something that is no reply: {frame_error}")
        except Exception as defect:  # whatever it is, nobody may wait for ever
            _log.exception("a defect ended the chain")
            error = DispatcherError(
                f"a defect in the dispatcher ended the chain: {defect!r}; its log has the traceback."
            )
        if self._broken is None:
            self._break(error)

    def _answer(self, message: bytes) -> None:
        header, tensors = unpack_frame(message)
        if header.request_id == 0 and header.HasField("error"):
            self._break(from_wire(header.error))
            return
        pending = self._pending.pop(header.request_id, None)
        if pending is None:
            return  # it came after its time-out
        pending.timer.cancel()
        if header.HasField("error"):
            _end(pending.future, from_wire(header.error))
            return
        latency_s = time.perf_counter() - pending.sent_at_s
        report = ReplyReport(
            chain_index=self.placement.stages[0].chain_index,
            request_id=header.request_id,
            latency_s=latency_s,
            timings=tuple(header.timings),
            sent_bytes=pending.sent_bytes,
            received_bytes=len(message),
        )
        try:
            self._on_reply(report)
        except Exception:
            _log.exception("on_reply raised; the answer is delivered all the same")
        _end(pending.future, tensors)

    def _expire(self, request_id: int, timeout_s: float) -> None:
        pending = self._pending.pop(request_id, None)
        if pending is not None:
            boards = ", ".join(s.board.name for s in self.placement.stages)
            _end(
                pending.future,
                ReplyTimeoutError(
                    f"no answer within {timeout_s:g} s from the chain {boards}. See which board is stuck: "
                    "python -m dispatcher_client status."
                ),
            )

    def _break(self, error: DispatcherError) -> None:
        self._broken = error
        self._fail_all(error)

    def _fail_all(self, error: DispatcherError) -> None:
        pending, self._pending = self._pending, {}
        for request in pending.values():
            request.timer.cancel()
            _end(request.future, _again(error))

    async def _stream_error(self, error: BaseException | None) -> DispatcherError:
        code, details = await self._call.code(), await self._call.details()
        return BoardUnavailableError(
            self._first.name,
            f"{self._first.address} broke the stream: {code.name}: {details or error or 'it ended it'}.",
        )


def _again(error: DispatcherError) -> DispatcherError:
    """The same error as an instance of its own: raised again and again, one instance would collect every traceback."""
    fresh = type(error).__new__(type(error), *error.args)
    fresh.args = error.args
    fresh.__dict__.update(error.__dict__)
    return fresh


def _end(future: Future[list[EncodedTensor]], outcome: list[EncodedTensor] | DispatcherError) -> None:
    try:
        if isinstance(outcome, DispatcherError):
            future.set_exception(outcome)
        else:
            future.set_result(outcome)
    except InvalidStateError:
        pass  # the caller has cancelled it

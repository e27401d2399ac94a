"""The open stream to the first board: sends requests, matches replies by id, ends every request with an answer or an error."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from dispatcher_client.deadlines import Deadline, Deadlines
from dispatcher_client.errors import ChainClosedError, DispatcherError, ReplyTimeoutError, late, own_instance
from dispatcher_client.placement import ChainPlacement, StagePlacement
from dispatcher_client.reply import Reply
from fleet.errors import BoardDefectError, BoardUnavailableError, from_wire
from fleet.event_loop import delivers_answers
from fleet.inventory import Board
from protos.v1.data_plane_pb2 import Header, Hop, OpenStream, StageTiming
from transport.cancellations import Cancellations
from transport.channel import (
    DATA_PLANE_STREAM,
    DEFAULT_MAX_FRAME_BYTES,
    HEADER_ROOM_BYTES,
    OPENING_SHARE,
    PROTOCOL_VERSION,
)
from transport.coding_costs import BoardLoad
from transport.credentials import Credentials
from transport.errors import ConnectError, StreamBrokenError, StreamStalledError, TransportError
from transport.frame import frame_parts, unpack_frame
from transport.link_coding import LinkCoding
from transport.message_stream import SILENCE_S, MessageStream, StreamLimits, open_stream
from transport.tensor_codec import CodecSetting, available_codecs
from transport.tensor_spec import Array, numpy_dtype

_log = logging.getLogger(__name__)
_CLOSE_TIMEOUT_S = 10.0
_NS_PER_S = 1e9
# A board that neither answers nor drops a request that was abandoned so long ago has lost it, by a defect: its place is free.
_MOST_HELD_S = 60.0


@dataclass(frozen=True)
class ReplyReport:
    """What is known of one answered request: its latency, as the application saw it, and each stage's timing.

    Request ids count from 1 in each chain. `sent_at_s` is by time.perf_counter. The deployment id names the version that
    answered, as `status` shows it.
    """

    chain_index: int
    request_id: int
    sent_at_s: float
    latency_s: float
    timings: tuple[StageTiming, ...]
    sent_bytes: int
    received_bytes: int
    deployment_id: str

    @property
    def passed(self) -> tuple[StageTiming, ...]:
        """Of the stages that the frame passed one after the other: the other boards of a group work beside its leader."""
        return tuple(timing for timing in self.timings if not timing.member)

    @property
    def by_stage(self) -> list[list[StageTiming]]:
        """All timings: of each stage that the frame passed, and of the boards that worked beside it."""
        found: list[list[StageTiming]] = []
        for timing in self.timings:
            if timing.member and found:
                found[-1].append(timing)
            else:
                found.append([timing])
        return found


@dataclass
class _Pending:
    reply: Reply
    sent_at_s: float
    sent_bytes: int
    deadline: Deadline
    is_abandoned: bool = False


class Chain:
    """One stream through all boards. Thread-safe."""

    def __init__(
        self,
        placement: ChainPlacement,
        codecs: Sequence[CodecSetting],
        *,
        credentials: Credentials | None,
        silence_s: float = SILENCE_S,
        on_reply: Callable[[ReplyReport], None],
    ) -> None:
        self.placement = placement
        self._codecs = codecs
        self._coding: LinkCoding | None = None
        self._sending = threading.Lock()  # of coding and sending: the link's figures are those of frame after frame
        self._credentials = credentials
        self._silence_s = silence_s
        self._on_reply = on_reply
        self._ids = itertools.count(1)
        self._lock = threading.Lock()
        self._pending: dict[int, _Pending] = {}
        self._cancellations: Cancellations | None = None
        self._deadlines = Deadlines(self._forget)  # of abandoned requests
        self._broken: DispatcherError | None = ChainClosedError("the chain is not open.")
        self._is_closed = False
        self._on_break: Callable[[DispatcherError], None] | None = None
        self._stream: MessageStream | None = None
        self._reader: threading.Thread | None = None

    @property
    def failure(self) -> DispatcherError | None:
        """Why the chain takes no requests, or None while it is open; may be asked on any thread."""
        return self._broken

    @property
    def _first(self) -> Board:
        return self.placement.stages[0].board

    async def open(self, timeout_s: float) -> list[str]:
        """Opens the stream through every board; their names. Raises: BoardError: the board that could not be opened."""
        return await asyncio.to_thread(self._open, timeout_s)

    def _open(self, timeout_s: float) -> list[str]:
        hops = []
        for group in self.placement.groups:
            leader, *others = map(_hop, group)
            leader.others.extend(others)
            hops.append(leader)
        opening = OpenStream(
            protocol_version=PROTOCOL_VERSION,
            deployment_id=self.placement.splitting.deployment_id,
            hops=hops,
            codecs=[setting.message() for setting in self._codecs],
            dispatcher_decodes=available_codecs(),
            timeout_s=timeout_s * OPENING_SHARE,
        )
        limits = StreamLimits(DEFAULT_MAX_FRAME_BYTES + HEADER_ROOM_BYTES, self._silence_s)
        try:
            stream = open_stream(
                self._first.address.data_plane,
                DATA_PLANE_STREAM,
                limits,
                credentials=self._credentials,
                name=self._first.certificate_name,
                timeout_s=timeout_s,
            )
            with self._lock:
                self._stream = stream
                if self._is_closed:  # an interrupted `open` goes on here
                    stream.close()
            stream.post(frame_parts(Header(open=opening)), timeout_s)
            message = stream.receive(timeout_s)
        except TimeoutError:
            raise BoardUnavailableError(self._first.name, f"the chain did not open within {timeout_s:g} s.") from None
        except ConnectError as error:
            raise BoardUnavailableError(self._first.name, f"{error}.") from error
        except StreamBrokenError as error:
            raise self._stream_error(error) from error
        if message is None:
            raise self._stream_error(StreamBrokenError("it ended it at once"))
        try:
            header, _ = unpack_frame(message)
        except TransportError as error:
            raise BoardDefectError(self._first.name, f"sent something that is no reply: {error}") from error
        if header.HasField("error"):
            raise from_wire(header.error)
        if not header.HasField("opened"):
            raise BoardDefectError(self._first.name, "answered the opening of the stream with something else.")
        self._coding = LinkCoding(
            self._codecs,
            [numpy_dtype(spec.dtype) for spec in self.placement.splitting.partitions[0].arriving],
            frozenset(header.opened.decodes),
            cores=1.0,
            has_spare_core=True,
            receiver=BoardLoad(0.0, header.opened.cores or 1.0, has_spare_core=False),
            usage=stream.usage,
        )
        if header.opened.takes_cancellations:
            self._cancellations = Cancellations(stream)
        with self._lock:
            if not self._is_closed:
                self._broken = None
                self._reader = threading.Thread(
                    target=self._read, args=(stream,), name="boardline-answers", daemon=True
                )
                self._reader.start()
        return list(header.opened.boards)

    @property
    def coding_reason(self) -> str:
        """How requests are coded on their way to the first board, and why."""
        return "" if self._coding is None else self._coding.reason

    def post(self, arrays: Sequence[Array], deadline: Deadline) -> Reply:
        """Sends one request; the reply ends with its tensors or a DispatcherError.

        Waits until the deadline while an earlier request is on its way into the stream. Boards drop the request when its time is
        over; whoever waits for it must abandon it then, since no board may be able to say so.
        """
        if not self._sending.acquire(timeout=deadline.left_s):
            reply = Reply()
            reply.end(self._late(deadline))
            return reply
        try:
            request_id = next(self._ids)
            reply = Reply(partial(self._abandon, request_id))
            self._post(request_id, arrays, deadline, reply)
            return reply
        finally:
            self._sending.release()

    def _post(self, request_id: int, arrays: Sequence[Array], deadline: Deadline, reply: Reply) -> None:
        if self._coding is None or self._stream is None:
            reply.end(own_instance(self._broken or ChainClosedError("the chain is not open.")))
            return
        tensors = self._coding.encode(arrays)
        left_ns = max(1, int(deadline.left_s * _NS_PER_S))
        parts = frame_parts(Header(request_id=request_id, left_ns=left_ns), tensors)
        with self._lock:
            if self._broken is not None:
                reply.end(own_instance(self._broken))
                return
            self._pending[request_id] = _Pending(reply, time.perf_counter(), sum(map(len, parts)), deadline)
        try:
            self._stream.post(parts, deadline.left_s, copies_rest=True)  # they are the application's arrays
            self._coding.note_sent(0.0)
        except StreamStalledError:
            self._forget(request_id)  # nothing of it was sent
        except StreamBrokenError:
            pass  # the reader sees the end of the stream, knows why, and ends every request

    async def close(self) -> None:
        """Lets the boards answer what they have, then ends the stream; waiting requests end with ChainClosedError."""
        await asyncio.to_thread(self._close)

    def _close(self) -> None:
        with self._lock:
            self._is_closed = True
            was_open = self._broken is None
            self._broken = self._broken or ChainClosedError("the chain was closed.")
        if self._stream is not None:
            if was_open and self._reader is not None:
                with contextlib.suppress(StreamStalledError):
                    self._stream.half_close(_CLOSE_TIMEOUT_S)
                    self._reader.join(_CLOSE_TIMEOUT_S)
            self._stream.abort()
            if self._reader is not None:
                self._reader.join()
            self._stream.close()
        self._deadlines.close()
        self._fail_all(ChainClosedError("the chain was closed before the answer came."))

    def _read(self, stream: MessageStream) -> None:
        delivers_answers()

        def answer(message: memoryview) -> None:
            stream.taken(len(message))
            self._answer(message)

        try:
            stream.run(answer)
            error: DispatcherError = self._stream_error(StreamBrokenError("it ended it"))
        except StreamBrokenError as broken:
            error = self._stream_error(broken)
        except TransportError as frame_error:
            error = BoardDefectError(self._first.name, f"sent something that is no reply: {frame_error}")
        except Exception as defect:  # whatever it is, nobody may wait for ever
            _log.exception("a defect ended the chain")
            error = DispatcherError(
                f"a defect in the dispatcher ended the chain: {defect!r}; its log has the traceback."
            )
        stream.abort()
        self._break(error)

    def _answer(self, message: memoryview) -> None:
        header, tensors = unpack_frame(message)
        if header.request_id == 0 and header.HasField("error"):
            self._break(from_wire(header.error))
            return
        with self._lock:
            pending = self._pending.pop(header.request_id, None)
        if pending is None:
            return  # forgotten
        if pending.is_abandoned:
            self._deadlines.cancel(header.request_id)
        if header.HasField("error"):
            pending.reply.end(from_wire(header.error))
            return
        if pending.is_abandoned:  # what is known of it concerns nobody
            pending.reply.end(tensors)
            return
        latency_s = time.perf_counter() - pending.sent_at_s
        report = ReplyReport(
            chain_index=self.placement.stages[0].chain_index,
            request_id=header.request_id,
            sent_at_s=pending.sent_at_s,
            latency_s=latency_s,
            timings=tuple(header.timings),
            sent_bytes=pending.sent_bytes,
            received_bytes=len(message),
            deployment_id=self.placement.splitting.deployment_id,
        )
        try:
            self._on_reply(report)
        except Exception:
            _log.exception("on_reply raised; the answer is delivered all the same")
        pending.reply.end(tensors)

    def _abandon(self, request_id: int) -> None:
        with self._lock:
            pending = self._pending.get(request_id)
            if pending is None or pending.is_abandoned:
                return
            pending.is_abandoned = True
        self._deadlines.set(request_id, Deadline.after(_MOST_HELD_S))
        if self._cancellations is not None:
            self._cancellations.tell([request_id])

    def _forget(self, request_id: int) -> None:
        with self._lock:
            pending = self._pending.pop(request_id, None)
        if pending is not None:
            pending.reply.end(self._late(pending.deadline))

    def _late(self, deadline: Deadline) -> ReplyTimeoutError:
        boards = ", ".join(s.board.name for s in self.placement.stages)
        return late(deadline.timeout_s, f"from the chain {boards}")

    def when_broken(self, on_break: Callable[[DispatcherError], None]) -> None:
        """Has the callback hear once why the open chain broke, on the thread that noticed, or at once if it has."""
        with self._lock:
            self._on_break = on_break
            error = self._broken
        if error is not None and self._reader is not None:
            on_break(error)

    def _break(self, error: DispatcherError) -> None:
        with self._lock:
            on_break = self._on_break if self._broken is None else None
            self._broken = self._broken or error
        if on_break is not None:
            on_break(error)
        self._fail_all(self._broken)

    def _fail_all(self, error: DispatcherError) -> None:
        with self._lock:
            pending, self._pending = self._pending, {}
        for request_id, request in pending.items():
            self._deadlines.cancel(request_id)
            request.reply.end(own_instance(error))

    def _stream_error(self, error: StreamBrokenError) -> DispatcherError:
        return BoardUnavailableError(self._first.name, f"{self._first.address} broke the stream: {error}.")


def _hop(stage: StagePlacement) -> Hop:
    return Hop(
        board=stage.board.name,
        address=str(stage.board.address),
        stage_index=stage.stage_index,
        certificate_name=stage.board.certificate_name,
    )

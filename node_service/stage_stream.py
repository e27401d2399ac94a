"""One stream through this board: receive, compute and send overlap; replies from behind are passed on undecoded."""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Union

from node_service.cancelled_requests import CancelledRequests
from node_service.config import MAX_WAITING_FRAMES
from node_service.errors import (
    FrameDroppedError,
    FrameLateError,
    OverloadedError,
    RefusedError,
    StalledError,
    is_expected,
    to_frame_error,
)
from node_service.frame_work import FrameStage, FrameWork, StageOverError
from node_service.metrics.frame_statistics import CodedBytes, FrameFigures
from node_service.next_board import NextBoard
from node_service.replies import Replies
from protos.v1.data_plane_pb2 import Header, StageTiming
from transport.errors import FrameError, StreamBrokenError, StreamStalledError
from transport.frame import EncodedTensor, frame_parts, unpack_frame
from transport.link_coding import LinkCoding
from transport.message_stream import MessageStream
from transport.tensor_spec import Array

_log = logging.getLogger(__name__)
_REPLY_TIMEOUT_S = 120.0
# A frame in work whose sender is gone. One that waits for other boards of a group would wait for long.
_LAST_FRAME_S = 0.5
_NS_PER_S = 1e9
# The figures in the reason for the codecs age.
_REASON_EVERY = 50


@dataclass(frozen=True)
class _Arrived:
    header: Header
    tensors: list[EncodedTensor]
    arrived_ns: int
    due_ns: int  # nobody waits for its answer after that; 0: no limit
    message_bytes: int


@dataclass(frozen=True)
class _Unreadable:
    error: FrameError
    message_bytes: int


class StageStream:
    """Carries frames through one stage, in order.

        receive -> [frames] -> work -> (send ->) next board (or, on the last board, back to the one before)
                                        relay <- next board

    The steps are threads. What waits in [frames] is bounded by the flow control of the stream, to three frames of the size that
    comes, and to `max_waiting` of small ones: those beyond are refused one by one. `work` decodes, computes and sends; it does
    not wait for the link, unless the frame before is still on its way. On a board with a core to spare it leaves coding and
    sending to a thread of their own.
    Answers keep the order of their frames; the error of a frame goes back at once, maybe before answers that are on their way.
    A frame that nobody waits for any more is dropped before it is computed, and before it leaves: the thread that receives
    hears of requests that were cancelled while their frames wait, and passes that on.
    """

    def __init__(
        self,
        stage: FrameStage,
        board: str,
        upstream: MessageStream,
        next_board: NextBoard | None,
        coding: LinkCoding,
        *,
        max_waiting: int = MAX_WAITING_FRAMES,
        on_frame: Callable[[FrameFigures, Sequence[CodedBytes]], None] = lambda figures, coded: None,
    ) -> None:
        """Args: on_frame: hears of each frame that left, and of its tensors if not all are raw; must return at once."""
        self._stage = stage
        self._on_frame = on_frame
        self._board = board
        self._upstream = upstream
        self._next = next_board
        self._coding = coding
        self._told_codecs: list[int] | None = None
        self._frames_told = 0
        self._frames: queue.SimpleQueue[Union[_Arrived, _Unreadable, None]] = queue.SimpleQueue()
        self._max_waiting = max_waiting
        # A refused frame counts as taken once its refusal is on its way: so flow control bounds these, too.
        self._refusals = Replies(upstream, upstream.taken)
        self._cancelled = CancelledRequests()
        # One slot: a frame is sent while the next one is computed.
        self._leaving: queue.Queue[tuple[_Arrived, FrameWork] | None] | None = (
            queue.Queue(1) if coding.has_own_thread else None
        )
        self._over = threading.Lock()
        self._is_over = False
        self._is_draining = False
        self._has_sent = False
        self._has_failed = False

    @property
    def has_failed(self) -> bool:
        """Whether it was ended with an error, by this board or one behind it."""
        return self._has_failed

    def run(self) -> None:
        """Serves until the sender half-closes or is gone, the board drains, or something breaks; tells the sender which.

        Raises: StreamBrokenError: the sender is gone.
        """
        threads = [threading.Thread(target=self._work, name="boardline-work", daemon=True)]
        if self._leaving is not None:
            threads.append(
                threading.Thread(target=self._send, args=(self._leaving,), name="boardline-send", daemon=True)
            )
        if self._next is not None:
            threads.append(
                threading.Thread(target=self._relay, args=(self._next,), name="boardline-relay", daemon=True)
            )
        for thread in threads:
            thread.start()
        try:
            self._upstream.run(self._take, lambda: self._frames.put(None))
        finally:
            self._claim_end()  # what breaks from here on was broken here
            self._upstream.abort()
            self._refusals.finish()
            self._frames.put(None)
            if self._next is not None:
                self._next.abort()
            threads[0].join(_LAST_FRAME_S)
            if threads[0].is_alive():
                self._stage.abort()
            for thread in threads:
                thread.join()

    def drain(self) -> None:
        """Reads nothing more; answers what was read, then tells the sender."""
        self._is_draining = True
        self._frames.put(None)

    @property
    def waiting(self) -> int:
        """Frames that have come and are not worked on."""
        return self._frames.qsize()

    def announce_silence(self, seconds: float) -> None:
        """Tells both neighbours that this board may answer nothing for so long; 0: that it is over."""
        self._upstream.announce_silence(seconds)
        self._stage.announce_silence(seconds)
        if self._next is not None:
            self._next.stream.announce_silence(seconds)

    def standstill(self) -> StalledError | None:
        """What to say of the stage if a frame makes no progress in it."""
        return None if self._is_over else self._stage.standstill()

    def excuse(self, since_s: float, until_s: float) -> None:
        """The whole process stood still in that time, by time.perf_counter: a frame in work is none the slower for it."""
        self._stage.excuse(since_s, until_s)

    def fail(self, error: Exception) -> None:
        """Ends the stream with an error, on a thread of its own: the sender may be slow to take it. The frame in work goes on."""
        threading.Thread(target=self._fail, args=(error,), name="boardline-fail", daemon=True).start()

    def _take(self, message: memoryview) -> None:
        arrived_ns = time.perf_counter_ns()
        if self._is_draining or self._is_over:
            self._upstream.taken(len(message))
            return
        try:
            header, tensors = unpack_frame(message)
        except FrameError as error:
            self._frames.put(_Unreadable(error, len(message)))
            return
        if not header.request_id and header.cancelled_ids:
            self._upstream.taken(len(message))
            self._cancel(header.cancelled_ids)
            return
        if self._frames.qsize() >= self._max_waiting:
            self._refuse(header.request_id, len(message))
            return
        left_ns = header.left_ns
        due_ns = arrived_ns + left_ns if left_ns else 0
        self._frames.put(_Arrived(header, tensors, arrived_ns, due_ns, len(message)))

    def _cancel(self, request_ids: Sequence[int]) -> None:
        """First here: what this board passes on after that, the next one need not drop."""
        self._cancelled.add(request_ids)
        if self._next is not None:
            self._next.cancel(request_ids)

    def _dropped(self, frame: _Arrived, now_ns: int) -> FrameDroppedError | None:
        """What to say of a frame that nobody waits for any more; None of the others."""
        if self._cancelled.take(frame.header.request_id):
            return FrameDroppedError("the frame was dropped: its request was cancelled.")
        if frame.due_ns and now_ns >= frame.due_ns:
            late_s = (now_ns - frame.due_ns) / _NS_PER_S
            return FrameLateError(f"the frame was dropped: its time was over {late_s:.2g} s ago.")
        return None

    def _refuse(self, request_id: int, message_bytes: int) -> None:
        """At once, by a frame of its own: those that wait are not held up, and neither is the thread that reads."""
        error = OverloadedError(
            f"{self._max_waiting} frames wait for stage {self._stage.stage_index} on board {self._board}, which takes no more for "
            "now: have fewer in flight, by a smaller window, or raise its --max-waiting-frames."
        )
        told = to_frame_error(error, self._board, self._stage.stage_index)
        (part,) = frame_parts(Header(request_id=request_id, error=told))
        self._refusals.pass_on(part, message_bytes)

    def _work(self) -> None:
        try:
            while (frame := self._frames.get()) is not None:
                self._upstream.taken(frame.message_bytes)
                if isinstance(frame, _Unreadable):
                    if not frame.error.request_id:
                        raise frame.error  # whose frame it was cannot be told, so the stream cannot go on
                    self._reply_error(frame.error, frame.error.request_id)
                else:
                    self._answer(frame)
            if self._leaving is None:
                self._no_more_leave()
        except Exception as error:
            self._fail(error)
        finally:
            if self._leaving is not None:
                self._leaving.put(None)

    def _answer(self, frame: _Arrived) -> None:
        dropped = self._dropped(frame, time.perf_counter_ns())
        if dropped is not None:
            self._reply_error(dropped, frame.header.request_id)
            return
        try:
            work = self._stage.process(frame.tensors, frame.arrived_ns)
        except StageOverError as over:
            raise over.cause from over
        except Exception as error:
            if not is_expected(error):
                raise
            self._reply_error(error, frame.header.request_id)
            return
        if self._leaving is None:
            self._leave(frame, work)
        else:
            self._leaving.put((frame, work))

    def _send(self, leaving: queue.Queue[tuple[_Arrived, FrameWork] | None]) -> None:
        """On a board with a core to spare, coding and sending do not hold up computing."""
        try:
            while (item := leaving.get()) is not None:
                self._leave(*item)
            self._no_more_leave()
        except Exception as error:
            self._fail(error)
            while leaving.get() is not None:  # the thread that works must not wait for room
                pass

    def _leave(self, frame: _Arrived, work: FrameWork) -> None:
        begun_ns = time.perf_counter_ns()
        dropped = self._dropped(frame, begun_ns)
        if dropped is not None:
            self._reply_error(dropped, frame.header.request_id)
            return
        try:
            tensors = self._coding.encode(work.leaving)
        except FrameError as error:  # a tensor that is only carried along, coded and damaged
            self._reply_error(error, frame.header.request_id)
            return
        encoded_ns = time.perf_counter_ns()
        timing = self._timing(frame, work, tensors, begun_ns, encoded_ns)
        header = frame.header
        if frame.due_ns:
            header.left_ns = max(1, frame.due_ns - encoded_ns)
        header.ClearField("tensors")
        header.timings.append(timing)
        header.timings.extend(work.other_timings)
        parts = frame_parts(header, tensors)
        if self._next is None:
            self._upstream.post(parts, _REPLY_TIMEOUT_S)
        else:
            self._next.send(parts)
        self._has_sent = True
        self._coding.note_sent((work.decode_ns + work.compute_ns) / _NS_PER_S)
        coded = () if self._coding.is_raw else _coded_bytes(tensors, work.leaving)
        self._on_frame(FrameFigures.of(timing, time.perf_counter_ns() - frame.arrived_ns), coded)

    def _no_more_leave(self) -> None:
        if self._next is not None:
            self._next.finish()
        else:
            self._end()

    def _timing(
        self, frame: _Arrived, work: FrameWork, tensors: list[EncodedTensor], begun_ns: int, encoded_ns: int
    ) -> StageTiming:
        link = self._upstream if self._next is None else self._next.stream
        timing = StageTiming(
            stage_index=self._stage.stage_index,
            wait_ns=work.wait_ns,
            decode_ns=work.decode_ns,
            compute_ns=work.compute_ns,
            invoke_cpu_ns=work.invoke_cpu_ns,
            encode_ns=encoded_ns - begun_ns,
            send_ns=link.written_ns if self._has_sent else 0,  # before the first frame, the opening went
            received_bytes=frame.message_bytes,
            sent_bytes=sum(len(t.data) for t in tensors),
            sent_raw_bytes=sum(map(_raw_bytes, work.leaving)),
            service_cpu_ns=time.process_time_ns(),
            arrived_ns=frame.arrived_ns,
            ready_ns=encoded_ns - frame.arrived_ns,
            pieces_sent_bytes=work.pieces_sent_bytes,
            pieces_received_bytes=work.pieces_received_bytes,
            pieces_wait_ns=work.pieces_wait_ns,
        )
        if not self._coding.is_raw:
            self._tell_codecs(timing, tensors)
        return timing

    def _tell_codecs(self, timing: StageTiming, tensors: list[EncodedTensor]) -> None:
        codecs = [t.header.codec for t in tensors]
        timing.sent_codecs.extend(codecs)
        self._frames_told += 1
        if codecs != self._told_codecs or self._frames_told % _REASON_EVERY == 0:
            self._told_codecs = list(codecs)
            timing.codec_reason = self._coding.reason

    def _relay(self, next_board: NextBoard) -> None:
        replies = Replies(self._upstream, next_board.stream.taken)
        try:
            try:
                next_board.relay(replies.pass_on)
            finally:
                replies.finish()
            self._end()
        except Exception as error:
            self._fail(error)

    def _end(self) -> None:
        """All is answered."""
        if self._is_draining:
            self._finish(RefusedError("is draining: it shuts down or is taken out of service."))
        else:
            self._finish(None)

    def _fail(self, error: Exception) -> None:
        """Something broke: the sender is told, unless it is the one that is gone or stuck; the other threads end."""
        if isinstance(error, StreamStalledError):
            self._upstream.abort(StreamBrokenError(str(error)))
        elif isinstance(error, StreamBrokenError):
            self._claim_end()
        else:
            self._finish(error)
        if self._next is not None:
            self._next.abort()
        self._stage.abort()
        self._frames.put(None)

    def _claim_end(self) -> bool:
        """Whether the calling thread is the first to end the stream, and so the one to say why."""
        with self._over:
            was_over, self._is_over = self._is_over, True
            return not was_over

    def _finish(self, error: Exception | None) -> None:
        if not self._claim_end():
            return
        if error is not None:
            self._has_failed = True
            if is_expected(error):
                _log.warning("a stream to stage %d ended: %s", self._stage.stage_index, error)
            else:
                _log.error("a stream to stage %d ended by a defect", self._stage.stage_index, exc_info=error)
        try:
            self._refusals.finish()
            if error is not None:
                self._reply_error(error)
            self._upstream.finish(_REPLY_TIMEOUT_S)
        except StreamBrokenError:
            return
        except StreamStalledError as stalled:
            self._upstream.abort(StreamBrokenError(str(stalled)))

    def _reply_error(self, error: Exception, request_id: int = 0) -> None:
        """Tells the dispatcher what went wrong, with one frame or (request_id 0) with the stream."""
        if request_id:  # of a stream's end the log has a line already, and a peer may cause any number of these
            about = {"stage": self._stage.stage_index, "request": request_id}
            _log.debug("frame %d is answered with an error: %s", request_id, error, extra=about)
        told = to_frame_error(error, self._board, self._stage.stage_index)
        self._upstream.post(frame_parts(Header(request_id=request_id, error=told)), _REPLY_TIMEOUT_S)


def _coded_bytes(tensors: Sequence[EncodedTensor], leaving: Sequence[Union[Array, EncodedTensor]]) -> list[CodedBytes]:
    return [CodedBytes(t.header.codec, len(t.data), _raw_bytes(was)) for t, was in zip(tensors, leaving)]


def _raw_bytes(leaving: Union[Array, EncodedTensor]) -> int:
    """Of one that came coded, what it came as."""
    return len(leaving.data) if isinstance(leaving, EncodedTensor) else leaving.nbytes

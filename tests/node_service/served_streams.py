"""One board between a sender and a next board, in this process, on real sockets."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Union

import numpy as np

from node_service.errors import StalledError
from node_service.frame_work import FrameWork
from node_service.next_board import NextBoard
from node_service.stage_stream import StageStream
from protos.v1.data_plane_pb2 import Codec, Header, Hop, OpenStream
from transport.address import Address
from transport.channel import DATA_PLANE_STREAM
from transport.codec_setting import RAW, CodecSetting
from transport.errors import FrameError, StreamBrokenError
from transport.frame import EncodedTensor, frame_parts, pack_frame, unpack_frame
from transport.link_coding import LinkCoding
from transport.message_stream import MessageStream, StreamLimits, StreamListener, open_stream
from transport.tensor_codec import encode_tensor
from transport.tensor_spec import Array

LOCAL = Address("127.0.0.1", 0)
LIMITS = StreamLimits(2**24, silence_s=0.9)
Handler = Callable[[MessageStream], None]


class Doubling:
    """A stage that gives back the tensors it gets, once it may."""

    stage_index = 0
    leaving_dtypes = (np.dtype(np.uint8),)
    threads = 1
    most_message_bytes: int | None = None

    def __init__(self) -> None:
        self.may_go = threading.Event()
        self.may_go.set()
        self.begun = threading.Event()
        self.n_processed = 0
        self.stalled: StalledError | None = None

    def standstill(self) -> StalledError | None:
        return self.stalled

    def excuse(self, since_s: float, until_s: float) -> None:
        pass

    def announce_silence(self, seconds: float) -> None:
        pass

    def abort(self) -> None:
        pass

    def process(self, arriving: list[EncodedTensor], arrived_ns: int) -> FrameWork:
        self.begun.set()
        assert self.may_go.wait(20)
        if not arriving:
            raise ZeroDivisionError("a defect of the stage")
        if not arriving[0].header.length:
            raise FrameError("a frame that the stage refuses")
        self.n_processed += 1
        return FrameWork(list(arriving), wait_ns=0, decode_ns=2_000_000, compute_ns=3_000_000)


class Coding(LinkCoding):
    """Sends raw, on a thread of its own where a core is spare; and remembers what it was told."""

    def __init__(self, *, has_spare_core: bool) -> None:
        super().__init__(
            [RAW, CodecSetting(Codec.LZ4)] if has_spare_core else [],
            [np.dtype(np.uint8)],
            frozenset({Codec.RAW, Codec.LZ4}),
            cores=1.0,
            has_spare_core=has_spare_core,
            usage=lambda: None,
        )
        self.told_s: list[float] = []
        self.may_encode = threading.Event()
        self.may_encode.set()

    def encode(self, leaving: Sequence[Union[Array, EncodedTensor]]) -> list[EncodedTensor]:
        assert self.may_encode.wait(20)
        return super().encode(leaving)

    def note_sent(self, compute_s: float) -> None:
        self.told_s.append(compute_s)
        super().note_sent(compute_s)


class Board:
    """A listener that runs StageStreams, with what became of each."""

    def __init__(
        self, stage: Doubling, next_address: Address | None, *, has_spare_core: bool, max_waiting: int = 1024
    ) -> None:
        self.stage, self.next_address, self.max_waiting = stage, next_address, max_waiting
        self.coding = Coding(has_spare_core=has_spare_core)
        self.outcomes: list[str] = []
        self.streams: list[StageStream] = []

    def serve(self, upstream: MessageStream) -> None:
        next_board = None
        if self.next_address is not None:
            before = Address(self.next_address.host, self.next_address.port - 1)
            next_board = NextBoard(Hop(board="behind", address=str(before)), credentials=None, limits=LIMITS)
        try:
            if next_board is not None:
                next_board.open(OpenStream(timeout_s=5))
            stream = StageStream(self.stage, "this", upstream, next_board, self.coding, max_waiting=self.max_waiting)
            self.streams.append(stream)
            stream.run()
            self.outcomes.append("ended")
        except StreamBrokenError as error:
            self.outcomes.append(str(error))
        finally:
            if next_board is not None:
                next_board.close()


@contextmanager
def listening(handler: Handler) -> Iterator[Address]:
    listener = StreamListener(LOCAL, DATA_PLANE_STREAM, handler, LIMITS, None)
    listener.start()
    try:
        yield listener.address
    finally:
        listener.stop()
    assert listener.join(15), [t.name for t in threading.enumerate()]


class Sender:
    """A dispatcher that reads at once and takes answers off its queue when the test does."""

    def __init__(self, address: Address) -> None:
        self.stream = open_stream(address, DATA_PLANE_STREAM, LIMITS, credentials=None, name="board", timeout_s=5)
        self.send, self.half_close = self.stream.send, self.stream.half_close
        self._answers: queue.SimpleQueue[memoryview | None] = queue.SimpleQueue()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        with contextlib.suppress(StreamBrokenError):
            self.stream.run(self._answers.put)
        self._answers.put(None)

    def reply(self) -> Header | None:
        message = self._answers.get(timeout=10)
        if message is None:
            return None
        self.stream.taken(len(message))
        return unpack_frame(message)[0]

    def close(self) -> None:
        self.stream.abort()
        self._reader.join()
        self.stream.close()


def reply(sender: Sender) -> Header | None:
    return sender.reply()


@contextmanager
def board(
    stage: Doubling | None = None,
    behind: Handler | None = None,
    *,
    has_spare_core: bool = False,
    behind_cancels: bool = True,
    max_waiting: int = 1024,
) -> Iterator[tuple[Board, Sender]]:
    """A board, maybe with one behind it, and a stream to it."""
    before = set(threading.enumerate())
    if behind is None:
        served = Board(stage or Doubling(), None, has_spare_core=has_spare_core, max_waiting=max_waiting)
        with listening(served.serve) as address, contextlib.closing(Sender(address)) as stream:
            yield served, stream
    else:
        with listening(opened_then(behind, cancels=behind_cancels)) as behind_address:
            served = Board(stage or Doubling(), behind_address, has_spare_core=has_spare_core, max_waiting=max_waiting)
            with listening(served.serve) as address, contextlib.closing(Sender(address)) as stream:
                yield served, stream
    left = {t for t in threading.enumerate() if t.name.startswith("boardline-")} - before
    for thread in left:
        thread.join(5)
    assert not [t for t in left if t.is_alive()]


def opened_then(behave: Handler, *, cancels: bool = True) -> Handler:
    def handle(stream: MessageStream) -> None:
        assert stream.receive(5)
        stream.post(frame_parts(Header(opened={"takes_cancellations": cancels})), 5)
        behave(stream)

    return handle


def frame(request_id: int, size: int = 10, left_ns: int = 0) -> bytes:
    return pack_frame(Header(request_id=request_id, left_ns=left_ns), [encode_tensor(np.zeros(size, np.uint8))])


def echo(stream: MessageStream) -> None:
    """A board behind that answers at once and ends when it should."""

    def give_back(message: memoryview) -> None:
        stream.taken(len(message))
        if not unpack_frame(message)[0].cancelled_ids:
            stream.post([message], 10)

    stream.run(give_back, lambda: stream.finish(5))


def replies_until_the_end(sender: Sender) -> list[Header]:
    return list(iter(sender.reply, None))

"""The streams between this board and others of its group, frame after frame: pieces come in any order, and are waited for."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from bundle.shares import Place
from node_service.errors import BadRequestError, NodeServiceError, PeerUnavailableError, RelayedError
from protos.v1.data_plane_pb2 import Codec, Header, StageTiming
from transport.errors import FrameError, StreamBrokenError, StreamStalledError
from transport.frame import EncodedTensor, frame_parts, unpack_frame
from transport.message_stream import MessageStream
from transport.tensor_codec import encode_tensor
from transport.tensor_spec import Array, wire_dtype

# An earlier piece that is not taken, or one that does not come although its board lives: the watchdogs of boards are quicker.
_PIECE_TIMEOUT_S = 120.0


class SessionOverError(NodeServiceError):
    """The session ended in good order: no frame comes any more."""


class GroupSession:
    """Thread-safe; one thread works on the frames, in order.

    A piece is kept from its arrival until it is asked for. There are at most those of the frame in work and of the next: a board
    that sends others, or more, has a defect.
    """

    def __init__(
        self,
        expected: Mapping[int, tuple[int, Sequence[Place]]],
        names: Sequence[str],
        on_failure: Callable[[Exception], None] = lambda error: None,
    ) -> None:
        """Args: expected: see `ShareProgram`. names: of the group's boards. on_failure: hears once why the session broke."""
        self._expected = expected
        self._names = names
        self._on_failure = on_failure
        self._changed = threading.Condition()
        self._streams: dict[int, MessageStream] = {}
        self._frame = 0
        self._pieces: dict[tuple[int, int], list[Array]] = {}  # by frame and transfer
        self._seen: set[tuple[int, int]] = set()  # of the same, what has come
        self._timings: dict[tuple[int, int], StageTiming] = {}  # by frame and board
        self._error: Exception | None = None
        self._is_over = False

    def attach(self, peer: int, stream: MessageStream) -> None:
        """A stream to or from another board is open. Raises: BadRequestError: there is one already."""
        with self._changed:
            if peer in self._streams:
                raise BadRequestError(f"board {self._names[peer]} has a stream to this one already.")
            self._streams[peer] = stream
            self._changed.notify_all()

    def await_streams(self, peers: set[int], timeout_s: float) -> None:
        """Returns once streams with all of these are open. Raises: PeerUnavailableError."""
        with self._changed:
            if self._changed.wait_for(lambda: self._error or peers <= self._streams.keys(), timeout_s):
                self._require_well()
                return
            missing = min(peers - self._streams.keys())
        raise self._at_fault(missing, f"did not open its stream to another board within {timeout_s:.2g} s.")

    def take(self, peer: int, message: memoryview) -> None:
        """A message from another board; for the thread that reads its stream."""
        self._streams[peer].taken(len(message))
        try:
            header, tensors = unpack_frame(message)
            if header.HasField("error"):
                self.fail(RelayedError(header.error))
                return
            with self._changed:
                self._require_expected(peer, header)
                for timing in header.timings[:1]:
                    self._timings[header.request_id, peer] = timing
                if header.HasField("transfer"):
                    self._pieces[header.request_id, header.transfer] = _values(
                        self._expected[header.transfer][1], tensors
                    )
                self._changed.notify_all()
        except (FrameError, BadRequestError) as error:  # of the sender's making
            self.fail(self._at_fault(peer, f"sent what was not agreed: {error}"))
        except Exception as defect:  # whoever waits must not wait for ever
            self.fail(defect)

    def read(self, peer: int, stream: MessageStream) -> None:
        """Takes what a board behind this one sends, on the calling thread, until its stream ends: that breaks the session."""
        try:
            stream.run(lambda message: self.take(peer, message))
            self.broken(peer, StreamBrokenError("it ended it"))
        except StreamBrokenError as error:
            self.broken(peer, error)

    def await_frame(self) -> int:
        """The number of the next frame, once the first piece of it has come. Raises: SessionOverError, or why the session broke."""
        with self._changed:
            following = self._frame + 1
            self._changed.wait_for(
                lambda: self._error or self._is_over or any(frame == following for frame, _ in self._pieces)
            )
            self._require_well()
            if self._is_over and not any(frame == following for frame, _ in self._pieces):
                raise SessionOverError("the group's leader has no more frames.")
        return self.begin_frame()

    def begin_frame(self) -> int:
        """The number of the next frame, which this board begins. Raises: why the session broke."""
        with self._changed:
            self._require_well()
            self._frame += 1
            self._timings = {key: timing for key, timing in self._timings.items() if key[0] >= self._frame}
            self._seen = {key for key in self._seen if key[0] >= self._frame}
            return self._frame

    def receive(self, transfer: int) -> list[Array]:
        """The pieces of a message of the frame in work, once it is here. Raises: PeerUnavailableError, or why the session broke."""
        key = self._frame, transfer
        with self._changed:
            if not self._changed.wait_for(lambda: key in self._pieces or self._error, _PIECE_TIMEOUT_S):
                raise self._at_fault(
                    self._expected[transfer][0], f"did not send a piece within {_PIECE_TIMEOUT_S:g} s."
                )
            self._require_well()
            return self._pieces.pop(key)

    def send(self, peer: int, transfer: int, pieces: Sequence[Array]) -> None:
        """Sends pieces of the frame in work; they may change afterwards. Raises: PeerUnavailableError."""
        self._post(
            peer, Header(request_id=self._frame, transfer=transfer), [encode_tensor(values) for values in pieces]
        )

    def tell_timing(self, peer: int, timing: StageTiming) -> None:
        """What the frame in work took here. Raises: PeerUnavailableError."""
        self._post(peer, Header(request_id=self._frame, timings=[timing]), [])

    def await_timings(self, peers: Sequence[int]) -> list[StageTiming]:
        """What the frame in work took on these boards, in order. Raises: as `receive`."""
        keys = [(self._frame, peer) for peer in peers]
        with self._changed:
            if not self._changed.wait_for(
                lambda: self._error or all(key in self._timings for key in keys), _PIECE_TIMEOUT_S
            ):
                silent = next(peer for peer in peers if (self._frame, peer) not in self._timings)
                raise self._at_fault(silent, f"did not end its part of a frame within {_PIECE_TIMEOUT_S:g} s.")
            self._require_well()
            return [self._timings.pop(key) for key in keys]

    def announce_silence(self, seconds: float) -> None:
        """Tells the other boards that this one may answer nothing for so long; 0: that it is over."""
        for stream in self._open():
            stream.announce_silence(seconds)

    def abort(self) -> None:
        """Ends all streams at once."""
        for stream in self._open():
            stream.abort()

    def end(self) -> None:
        """No more frames come."""
        with self._changed:
            self._is_over = True
            self._changed.notify_all()

    def fail(self, error: Exception) -> None:
        """The session is broken: whoever waits hears it, the first error counts. Its streams are for others to end."""
        with self._changed:
            is_first = self._error is None and not self._is_over
            self._error = self._error or error
            self._changed.notify_all()
        if is_first:
            self._on_failure(error)

    def broken(self, peer: int, error: Exception) -> None:
        """The stream with another board broke."""
        self.fail(self._at_fault(peer, f"broke its stream: {error}."))

    def _open(self) -> list[MessageStream]:
        with self._changed:
            return list(self._streams.values())

    def _post(self, peer: int, header: Header, tensors: Sequence[EncodedTensor]) -> None:
        try:
            self._streams[peer].post(frame_parts(header, tensors), _PIECE_TIMEOUT_S, copies_rest=True)
        except (StreamBrokenError, StreamStalledError) as error:
            with self._changed:
                self._require_well()  # the reason for it may be known
            raise self._at_fault(peer, f"does not take a piece: {error}.") from error

    def _require_well(self) -> None:
        if self._error is not None:
            raise self._error

    def _at_fault(self, peer: int, what: str) -> PeerUnavailableError:
        return PeerUnavailableError(self._names[peer], f"in its group, it {what}")

    def _require_expected(self, peer: int, header: Header) -> None:
        """Raises BadRequestError: a message of another frame than this and the next, another board's, or one that came before."""
        key = header.request_id, header.transfer
        is_timely = header.request_id in (self._frame, self._frame + 1) and header.request_id > 0
        sender = self._expected.get(header.transfer, (-1, ()))[0] if header.HasField("transfer") else peer
        if not is_timely or sender != peer or (header.HasField("transfer") and key in self._seen):
            raise BadRequestError(
                f"transfer {header.transfer} of frame {header.request_id} during frame {self._frame}, which is not for this board "
                "to receive."
            )
        if header.HasField("transfer"):
            self._seen.add(key)


def _values(places: Sequence[Place], tensors: Sequence[EncodedTensor]) -> list[Array]:
    if len(places) != len(tensors):
        raise BadRequestError(f"a message between boards of a group has {len(tensors)} pieces, expected {len(places)}.")
    return [_value(place, tensor) for place, tensor in zip(places, tensors)]


def _value(place: Place, tensor: EncodedTensor) -> Array:
    header, data = tensor
    is_expected = header.dtype == wire_dtype(place.dtype) and tuple(header.shape) == place.shape
    if not is_expected or header.codec != Codec.RAW or len(data) != place.n_bytes:
        raise BadRequestError(
            f"a piece has dtype {header.dtype}, shape {list(header.shape)}, codec {header.codec} and {len(data)} bytes; expected "
            f"{place.dtype.name} {list(place.shape)}, raw."
        )
    return np.ndarray(place.shape, place.dtype, data)

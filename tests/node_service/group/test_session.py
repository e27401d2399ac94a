"""Pieces between boards of a group: waited for, counted, and refused where they are not what was agreed."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest

from bundle.shares import Place
from node_service.errors import BadRequestError, PeerUnavailableError, RelayedError
from node_service.group.session import GroupSession, SessionOverError
from protos.v1.data_plane_pb2 import Codec, Error, Header, StageTiming, TensorHeader
from protos.v1.manifest_pb2 import Piece
from protos.v1.tensor_pb2 import DType, TensorSpec
from tests.node_service.stubs import TIMEOUT_S
from transport.errors import StreamBrokenError
from transport.frame import pack_frame
from transport.tensor_codec import encode_tensor

SPECS = [TensorSpec(name="t", dtype=DType.INT8, shape=[1, 4, 2])]
PLACE = Place.of(Piece(tensor=0, dimension=1, start=1, stop=3), SPECS)
VALUES = np.arange(4, dtype=np.int8).reshape(1, 2, 2)


class Stream:
    """The end of a stream that a session uses."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.taken_bytes = 0
        self.is_broken = False

    def post(self, parts: Any, _timeout_s: float, *, copies_rest: bool) -> None:
        assert copies_rest, "pieces may change once they are sent"
        if self.is_broken:
            raise StreamBrokenError("it closed the connection")
        self.sent.append(b"".join(parts))

    def taken(self, n_bytes: int) -> None:
        self.taken_bytes += n_bytes

    def abort(self) -> None:
        self.is_broken = True


class Group:
    """A session of board 1 of three, and the messages that others send it."""

    def __init__(self) -> None:
        self.failures: list[Exception] = []
        self.session = GroupSession({5: (0, (PLACE,)), 6: (2, (PLACE,))}, ["b0", "b1", "b2"], self.failures.append)
        self.streams = {peer: Stream() for peer in (0, 2)}
        for peer, stream in self.streams.items():
            self.session.attach(peer, stream)  # type: ignore[arg-type]

    def piece(self, peer: int, frame: int, transfer: int, values: np.ndarray = VALUES) -> None:
        message = pack_frame(Header(request_id=frame, transfer=transfer), [encode_tensor(values)])
        self.session.take(peer, memoryview(message))


@pytest.fixture
def group() -> Group:
    return Group()


def test_pieces_come_in_any_order_and_before_their_frame(group: Group) -> None:
    group.piece(2, 1, 6)
    group.piece(0, 1, 5)
    assert group.session.await_frame() == 1
    group.piece(0, 2, 5, VALUES + 1)
    assert np.array_equal(group.session.receive(5)[0], VALUES)
    assert np.array_equal(group.session.receive(6)[0], VALUES)
    assert group.session.await_frame() == 2
    assert np.array_equal(group.session.receive(5)[0], VALUES + 1)
    assert not group.failures


def test_a_piece_is_waited_for(group: Group) -> None:
    group.session.begin_frame()
    late = threading.Timer(0.05, group.piece, (0, 1, 5))
    late.start()
    assert np.array_equal(group.session.receive(5)[0], VALUES)
    late.join(TIMEOUT_S)


def test_timings_are_those_of_the_frame_in_work(group: Group) -> None:
    for frame, took_ns in ((1, 11), (2, 22)):
        group.session.begin_frame()
        for peer in (2, 0):
            told = Header(request_id=frame, timings=[StageTiming(stage_index=peer, compute_ns=took_ns)])
            group.session.take(peer, memoryview(pack_frame(told)))
        timings = group.session.await_timings([0, 2])
        assert [(t.stage_index, t.compute_ns) for t in timings] == [(0, took_ns), (2, took_ns)]


@pytest.mark.parametrize(
    ("peer", "frame", "transfer"),
    [(0, 1, 7), (2, 1, 5), (0, 0, 5), (0, 3, 5)],
    ids=["unknown", "of another board", "of a frame that is over", "of a frame far ahead"],
)
def test_a_piece_that_was_not_agreed_ends_the_session(group: Group, peer: int, frame: int, transfer: int) -> None:
    group.session.begin_frame()
    group.piece(peer, frame, transfer)
    with pytest.raises(
        PeerUnavailableError, match=f"board b{peer}: .* transfer {transfer} of frame {frame} during frame 1"
    ):
        group.session.receive(5)
    assert len(group.failures) == 1


def test_a_piece_that_comes_twice_ends_the_session(group: Group) -> None:
    group.piece(0, 1, 5)
    group.piece(0, 1, 5)
    with pytest.raises(PeerUnavailableError, match="board b0: in its group, it sent what was not agreed: transfer 5"):
        group.session.await_frame()


def test_a_piece_that_comes_again_after_it_was_taken_ends_the_session(group: Group) -> None:
    group.session.begin_frame()
    group.piece(0, 1, 5)
    group.session.receive(5)
    group.piece(0, 1, 5)
    with pytest.raises(PeerUnavailableError, match="transfer 5"):
        group.session.receive(6)


@pytest.mark.parametrize(
    "tensors",
    [
        [],
        [encode_tensor(VALUES)] * 2,
        [encode_tensor(VALUES[:, :1])],
        [encode_tensor(VALUES.astype(np.int16))],
        [encode_tensor(VALUES)._replace(data=b"abc")],
        [encode_tensor(VALUES)._replace(header=TensorHeader(dtype=DType.INT8, shape=[1, 2, 2], codec=Codec.LZ4))],
    ],
)
def test_a_piece_of_another_kind_ends_the_session(group: Group, tensors: list[Any]) -> None:
    group.session.begin_frame()
    group.session.take(0, memoryview(pack_frame(Header(request_id=1, transfer=5), tensors)))
    with pytest.raises(PeerUnavailableError, match=r"[02] pieces, expected 1|expected int8 \[1, 2, 2\], raw"):
        group.session.receive(5)


def test_what_is_no_frame_ends_the_session(group: Group) -> None:
    group.session.take(0, memoryview(b"\x00rubbish"))
    assert len(group.failures) == 1


def test_error_of_another_board_reaches_whoever_waits(group: Group) -> None:
    group.session.begin_frame()
    told = Error(code=Error.COMPUTE_FAILED, message="no", board="b2")
    threading.Timer(0.05, group.session.take, (2, memoryview(pack_frame(Header(error=told))))).start()
    with pytest.raises(RelayedError, match="board b2: no"):
        group.session.receive(5)


def test_first_failure_counts(group: Group) -> None:
    group.session.broken(2, StreamBrokenError("it closed the connection"))
    group.session.broken(0, StreamBrokenError("it closed the connection"))
    with pytest.raises(PeerUnavailableError, match="board b2"):
        group.session.begin_frame()
    assert len(group.failures) == 1


def test_sending_to_a_board_that_is_gone_names_it(group: Group) -> None:
    group.session.begin_frame()
    group.streams[2].is_broken = True
    with pytest.raises(PeerUnavailableError, match="board b2: in its group, it does not take a piece"):
        group.session.send(2, 9, [VALUES])


def test_the_end_comes_after_the_frames_that_have_begun(group: Group) -> None:
    group.piece(0, 1, 5)
    group.session.end()
    assert group.session.await_frame() == 1
    with pytest.raises(SessionOverError):
        group.session.await_frame()
    group.session.broken(2, StreamBrokenError("it closed the connection"))
    assert not group.failures, "after the end nothing breaks"


def test_streams_are_waited_for_and_attached_once(group: Group) -> None:
    with pytest.raises(BadRequestError, match="b2 has a stream to this one already"):
        group.session.attach(2, Stream())  # type: ignore[arg-type]
    group.session.await_streams({0, 2}, 0.0)
    lonely = GroupSession({}, ["b0", "b1", "b2"])
    with pytest.raises(
        PeerUnavailableError, match=r"board b1: in its group, it did not open its stream .* within 0.01 s"
    ):
        lonely.await_streams({1}, 0.01)

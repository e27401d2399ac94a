"""The data plane of real node services: frames from an ordinary protobuf client, and everything a bad peer may send."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path

import grpc
import numpy as np
import pytest
from hyperframe.frame import DataFrame, SettingsFrame

from bundle import Bundle
from examples.local_boards import LocalBoards
from node_service import data_plane
from node_service.config import NodeConfig
from node_service.metrics import FrameStatistics
from node_service.open_streams import OpenStreams
from protos.v1.data_plane_pb2 import Codec, Error, Frame, Header, OpenStream, TensorHeader
from protos.v1.tensor_pb2 import DType
from tests.node_service.stubs import exchange, frames_to, opening, serve_stage
from tests.transport.message_stream.by_hand import REQUEST, Peer, data, grpc_message, headers
from transport.address import Address
from transport.channel import DATA_PLANE_STREAM
from transport.message_stream.wire import PREFACE
from transport.tensor_spec import wire_dtype

MakeBundle = Callable[..., Bundle]


@pytest.fixture
def served(boards: LocalBoards, zoo_bundle: MakeBundle) -> Bundle:
    """A bundle whose three stages the three boards serve."""
    bundle = zoo_bundle("residual", "int8")
    for index, address in enumerate(boards.addresses):
        serve_stage(address, bundle, index)
    return bundle


def frame(request_id: int, *arrays: np.ndarray) -> bytes:
    """A frame as any protobuf client would build it, tensors packed without padding."""
    payload = b"".join(a.tobytes() for a in arrays)
    offset, tensors = 0, []
    for array in arrays:
        tensors.append(
            TensorHeader(dtype=wire_dtype(array.dtype), shape=array.shape, offset=offset, length=array.nbytes)
        )
        offset += array.nbytes
    return Frame(header=Header(request_id=request_id, tensors=tensors), payload=payload).SerializeToString()


def route(boards: LocalBoards) -> list[tuple[str, str, int]]:
    return [(board.name, board.address, index) for index, board in enumerate(boards.boards)]


def test_ordinary_protobuf_client_gets_the_whole_models_bytes(boards: LocalBoards, served: Bundle) -> None:
    inputs, expected = served.load_sample()
    (x,), (y,) = inputs.values(), expected.values()
    with frames_to(boards.addresses[0]) as channel:
        messages = [opening(served.deployment_id, *route(boards)), *(frame(i, x) for i in (1, 2, 3))]
        opened, *answers = exchange(channel, messages)
    assert list(opened.header.opened.boards) == ["board1", "board2", "board3"]
    assert [a.header.request_id for a in answers] == [1, 2, 3]
    assert all(a.payload == y.tobytes() for a in answers)
    assert [t.stage_index for t in answers[0].header.timings] == [0, 1, 2]
    assert all(t.compute_ns > 0 and t.received_bytes > 0 for t in answers[0].header.timings)


@pytest.mark.parametrize(
    ("first", "code", "words"),
    [
        (b"", Error.BAD_FRAME, "must open it"),
        (b"not a frame at all", Error.BAD_FRAME, "not a frame"),
        (os.urandom(1000), Error.BAD_FRAME, ""),
        (frame(1, np.zeros(3, np.int8)), Error.BAD_FRAME, "must open it"),
        (opening("x", ("board1", "", 0), version=99), Error.WRONG_VERSION, "version 99"),
        (opening("x"), Error.BAD_FRAME, "at least one hop"),
        (opening("nothing-of-the-kind", ("board1", "", 0)), Error.NOT_LOADED, "not loaded"),
    ],
)
def test_stream_is_refused_with_a_typed_error_when_its_opening_is_wrong(
    boards: LocalBoards, first: bytes, code: Error.Code, words: str
) -> None:
    with frames_to(boards.addresses[0]) as channel:
        (answer,) = exchange(channel, [first])
    assert answer.header.error.code == code
    assert words in answer.header.error.message
    assert answer.header.error.board == "board1"


def test_stream_names_the_board_behind_when_that_has_not_loaded_its_stage(boards: LocalBoards, served: Bundle) -> None:
    hops = route(boards)
    hops[2] = ("board3", boards.addresses[2], 7)
    with frames_to(boards.addresses[0]) as channel:
        (answer,) = exchange(channel, [opening(served.deployment_id, *hops)])
    assert answer.header.error.code == Error.NOT_LOADED
    assert answer.header.error.board == "board3"


@pytest.mark.parametrize("address", ["127.0.0.1:1", "nonsense"])
def test_stream_names_the_next_hop_when_it_cannot_be_opened(boards: LocalBoards, served: Bundle, address: str) -> None:
    hops = [("board1", boards.addresses[0], 0), ("board2", address, 1)]
    with frames_to(boards.addresses[0]) as channel:
        (answer,) = exchange(channel, [opening(served.deployment_id, *hops)])
    expected = {"127.0.0.1:1": Error.PEER_UNAVAILABLE, "nonsense": Error.BAD_FRAME}
    assert answer.header.error.code == expected[address]
    assert answer.header.error.board == ("board2" if address == "127.0.0.1:1" else "board1")


def test_next_board_must_be_the_one_that_the_hop_names(boards: LocalBoards, served: Bundle) -> None:
    first, second = (Address.parse(address) for address in boards.addresses[:2])
    opened = OpenStream(protocol_version=1, deployment_id=served.deployment_id, timeout_s=5)
    opened.hops.add(board="board1", address=str(first), stage_index=0, certificate_name="board1")
    opened.hops.add(board="board2", address=str(second), stage_index=1, certificate_name="board3")
    with frames_to(boards.addresses[0]) as channel:
        (answer,) = exchange(channel, [Frame(header=Header(open=opened)).SerializeToString()])
    assert answer.header.error.code == Error.PEER_UNAVAILABLE
    assert answer.header.error.board == "board2"
    assert "is not trusted as board3" in answer.header.error.message


def wrong_frames(x: np.ndarray) -> list[tuple[bytes, str]]:
    """Frames that a board must refuse, with words of the refusal."""
    good = Frame.FromString(frame(1, x))

    def changed(**fields: int) -> bytes:
        copy = Frame()
        copy.CopyFrom(good)
        for name, value in fields.items():
            setattr(copy.header.tensors[0], name, value)
        return copy.SerializeToString()

    return [
        (frame(1), "0 tensors, expected 1"),
        (frame(1, x, x), "2 tensors, expected 1"),
        (frame(1, x.astype(np.float32)), "got float32"),
        (frame(1, x[:, :-1]), "do not fit"),
        (changed(offset=1), "payload of"),
        (changed(length=2**40), "payload of"),
        (changed(length=x.nbytes - 1), "expected"),
        (changed(dtype=DType.DTYPE_UNSPECIFIED), "got dtype_unspecified"),
        (changed(codec=Codec.LZ4), "damaged"),
        (changed(codec=99), "codec number 99"),
    ]


def test_bad_frames_are_refused_one_by_one_and_the_stream_goes_on(boards: LocalBoards, served: Bundle) -> None:
    (x,) = served.load_sample()[0].values()
    (y,) = served.load_sample()[1].values()
    bad = wrong_frames(x)
    messages = [opening(served.deployment_id, *route(boards))]
    for message, _ in bad:
        messages += [message, frame(2, x)]
    with frames_to(boards.addresses[0]) as channel:
        _, *answers = exchange(channel, messages)
    refused = [a.header for a in answers if a.header.HasField("error")]
    assert [h.request_id for h in refused] == [1] * len(bad)
    for header, (_, words) in zip(refused, bad):
        assert header.error.board == "board1"
        assert words in header.error.message
    good = [a for a in answers if not a.header.HasField("error")]
    assert len(good) == len(bad)
    assert all(a.payload == y.tobytes() for a in good)


def test_stream_ends_with_an_error_when_a_message_is_no_frame(boards: LocalBoards, served: Bundle) -> None:
    (x,) = served.load_sample()[0].values()
    with frames_to(boards.addresses[0]) as channel:
        messages = [opening(served.deployment_id, *route(boards)), b"\xff" * 40, frame(5, x)]
        *_, last = exchange(channel, messages)
    assert last.header.request_id == 0
    assert last.header.error.code == Error.BAD_FRAME


def test_message_beyond_the_limit_is_refused_before_it_is_taken(boards: LocalBoards) -> None:
    with frames_to(boards.addresses[0]) as channel, pytest.raises(grpc.RpcError) as caught:
        exchange(channel, [bytes(300 * 2**20)])
    assert caught.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED


def test_peer_that_takes_nothing_does_not_keep_its_thread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A window of 0 bytes: not even the refusal can be sent, and nobody reads what would raise it."""
    monkeypatch.setattr(data_plane, "_REFUSAL_TIMEOUT_S", 0.1)
    config = NodeConfig(listen=Address("127.0.0.1", 0), store=tmp_path, name="board1")
    plane = data_plane.DataPlane(config, deployments=None, probes=None, streams=OpenStreams(), frames=FrameStatistics())  # type: ignore[arg-type]
    address = plane.listen(config.listen)
    plane.start()
    peer = Peer(socket.create_connection((address.host, address.port)))
    peer.send(PREFACE, SettingsFrame(0, settings={SettingsFrame.INITIAL_WINDOW_SIZE: 0}).serialize())
    peer.send(headers([*REQUEST[:2], (":path", DATA_PLANE_STREAM), *REQUEST[3:]]), data(grpc_message(b"\xff" * 9)))
    assert not [f for f in peer.frames() if isinstance(f, DataFrame)]  # until the board hangs up
    peer.close()
    plane.drain(10)
    assert not plane._listener or not plane._listener._threads

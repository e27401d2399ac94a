"""Frames of the data plane, as a board takes them from its neighbour."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import numpy as np

from protos.v1.data_plane_pb2 import Codec, Error, Frame, Header, OpenStream, StageTiming
from tests.fuzz.target import Run, Target
from transport.errors import FrameError
from transport.frame import pack_frame, unpack_frame
from transport.tensor_codec import CodecSetting, encode_tensor


def _seeds() -> Iterator[bytes]:
    tensors = [encode_tensor(np.arange(6, dtype=dtype).reshape(2, 3)) for dtype in (np.float32, np.int8)]
    lz4 = encode_tensor(np.zeros((1, 64), np.float32), CodecSetting(Codec.LZ4))
    yield pack_frame(Header(request_id=7, left_ns=10**9, timings=[StageTiming(compute_ns=9)]), [*tensors, lz4])
    yield pack_frame(Header(request_id=8, error=Error(code=Error.BAD_FRAME, message="no", board="pi1")))
    yield pack_frame(Header(cancelled_ids=[1, 2, 300]))
    yield pack_frame(
        Header(open=OpenStream(protocol_version=1, deployment_id="d", hops=[{"board": "pi1"}], timeout_s=1))
    )


def _start(_scratch: Path) -> AbstractContextManager[Run]:
    return nullcontext(_unpack)


def _unpack(data: bytes) -> None:
    header, tensors = unpack_frame(data)
    frame = Frame.FromString(data)  # what is taken is read as protobuf reads it
    assert header == frame.header
    assert [bytes(t.data) for t in tensors] == [frame.payload[t.offset :][: t.length] for t in header.tensors]
    del header.tensors[:]
    again, same = unpack_frame(pack_frame(header, tensors))
    assert [(bytes(t.data), list(t.header.shape)) for t in same] == [
        (bytes(t.data), list(t.header.shape)) for t in tensors
    ]
    del again.tensors[:]
    assert again.request_id == header.request_id


TARGET = Target("frame", _start, (FrameError,), _seeds, (b"\x0a", b"\x12", b"\x1a", b"\x2a", b"\xff\xff\xff\xff\x0f"))

"""Frames: the bytes are protobuf's own, and nothing that arrives can do worse than raise FrameError."""

from __future__ import annotations

import tracemalloc
from typing import Any

import pytest
from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st

from protos.v1.data_plane_pb2 import Codec, Error, Frame, Header, StageTiming, TensorHeader
from protos.v1.tensor_pb2 import DType
from transport.errors import FrameError
from transport.frame import (
    ALIGNMENT_BYTES,
    MAX_FIELDS,
    MAX_HEADER_BYTES,
    MAX_TENSORS,
    EncodedTensor,
    pack_frame,
    unpack_frame,
)


def encoded(data: bytes, dtype: DType = DType.UINT8, codec: Codec = Codec.RAW) -> EncodedTensor:
    return EncodedTensor(TensorHeader(dtype=dtype, shape=[len(data)], codec=codec), data)


def header(request_id: int = 7) -> Header:
    return Header(request_id=request_id, timings=[StageTiming(stage_index=1, compute_ns=123456)])


def field(number: int, content: bytes) -> bytes:
    """A length-delimited field of less than 128 bytes."""
    return bytes([number << 3 | 2, len(content)]) + content


def unpack_or_refuse(message: bytes) -> tuple[Header, list[EncodedTensor]] | None:
    try:
        return unpack_frame(message)
    except FrameError:
        return None


tensor_lists = st.lists(st.binary(max_size=200), max_size=5)
WHOLE = pack_frame(header(), [encoded(bytes(range(100))), encoded(b""), encoded(b"xyz", DType.INT8, Codec.LZ4)])


@given(tensor_lists, st.integers(0, 2**64 - 1))
def test_frame_comes_back_when_packed_and_unpacked(contents: list[bytes], request_id: int) -> None:
    sent = [encoded(data) for data in contents]
    got_header, got = unpack_frame(pack_frame(header(request_id), sent))
    assert got_header.request_id == request_id
    assert got_header.timings == header().timings
    assert [bytes(t.data) for t in got] == contents
    assert [(t.header.dtype, list(t.header.shape)) for t in got] == [(DType.UINT8, [len(c)]) for c in contents]


@given(tensor_lists)
def test_frame_is_an_ordinary_protobuf_message(contents: list[bytes]) -> None:
    message = pack_frame(header(), [encoded(data) for data in contents])
    frame = Frame.FromString(message)
    assert not any(frame.padding)
    rewritten = frame.SerializeToString(deterministic=True)
    assert len(rewritten) == len(message)  # no field twice, none unknown
    got_header, got = unpack_frame(rewritten)
    assert got_header == frame.header
    assert [bytes(t.data) for t in got] == contents


@given(tensor_lists, st.integers(0, 2**64 - 1))
def test_payload_starts_at_a_multiple_of_64_of_the_message(contents: list[bytes], request_id: int) -> None:
    message = pack_frame(header(request_id), [encoded(data) for data in contents])
    assert (len(message) - len(Frame.FromString(message).payload)) % ALIGNMENT_BYTES == 0 or not any(contents)


@given(tensor_lists)
def test_tensors_start_at_multiples_of_64_with_zeros_between(contents: list[bytes]) -> None:
    frame = Frame.FromString(pack_frame(Header(), [encoded(data) for data in contents]))
    used = bytearray(frame.payload)
    for entry, data in zip(frame.header.tensors, contents):
        assert entry.offset % ALIGNMENT_BYTES == 0
        assert frame.payload[entry.offset : entry.offset + entry.length] == data
        used[entry.offset : entry.offset + entry.length] = bytes(entry.length)
    assert not any(used)


def test_tensors_are_views_of_the_message_when_unpacked() -> None:
    _, tensors = unpack_frame(WHOLE)
    assert all(isinstance(t.data, memoryview) and t.data.obj is WHOLE for t in tensors)


def test_tensor_is_carried_along_when_taken_from_one_frame_into_another() -> None:
    _, arrived = unpack_frame(WHOLE)
    before = [TensorHeader.FromString(t.header.SerializeToString()) for t in arrived]
    _, passed_on = unpack_frame(pack_frame(Header(), [encoded(b"new"), arrived[2], arrived[0]]))
    assert [bytes(t.data) for t in passed_on] == [b"new", b"xyz", bytes(range(100))]
    assert (passed_on[1].header.codec, passed_on[1].header.dtype) == (Codec.LZ4, DType.INT8)
    assert [t.header for t in arrived] == before


def test_frame_of_any_protobuf_writer_is_accepted() -> None:
    inner = Header(request_id=3, tensors=[TensorHeader(dtype=DType.UINT8, shape=[2], offset=1, length=2)])
    payload = field(2, b"abcd")
    unknown = field(15, b"new") + b"\x78\xac\x02" + b"\x79" + bytes(8) + b"\x7d" + bytes(4)
    serialized = inner.SerializeToString()
    for message in (
        payload + field(1, serialized),
        unknown + field(1, serialized) + unknown + payload + unknown,
        field(2, b"an older payload") + field(1, serialized) + payload,
        field(1, Header(request_id=3).SerializeToString()) + payload + field(1, serialized),
    ):
        got_header, (tensor,) = unpack_frame(message)
        assert got_header == inner
        assert bytes(tensor.data) == b"bc"
        assert got_header == Frame.FromString(message).header


def test_header_is_empty_when_the_message_is() -> None:
    assert unpack_frame(b"") == (Header(), [])
    assert pack_frame(Header()) == b"\x0a\x00"


@pytest.mark.parametrize("length", range(len(WHOLE)))
def test_frame_is_refused_or_valid_when_truncated(length: int) -> None:
    got = unpack_or_refuse(WHOLE[:length])
    # Only the empty message is a frame, and the header alone is none: its tensors are missing.
    assert got is None or length == 0


# What real messages consist of, and what comes near it: tags, lengths, small and great numbers, whole fields.
FRAGMENTS = st.sampled_from(
    [bytes([n]) for n in (0, 1, 2, 8, 10, 11, 12, 18, 127, 128, 255)]
    + [b"\x8a\x00", b"\x80\x80\x80\x80\x10", b"\xff\xff\xff\xff\x7f", b"\xff" * 9 + b"\x01", b"\x79" + bytes(8)]
    + [field(1, b"\x08\x05"), field(1, b"\x2a\x02\x20\x01"), field(2, b"abc"), field(15, b"new")]
)


@given(st.binary(max_size=300) | st.lists(FRAGMENTS, max_size=6).map(b"".join))
def test_random_bytes_are_refused_or_read_as_protobuf_reads_them(message: bytes) -> None:
    agrees_with_protobuf(message)


@given(st.lists(st.tuples(st.integers(0, len(WHOLE) - 1), st.integers(1, 255)), min_size=1, max_size=4))
def test_damaged_frame_is_refused_or_read_as_protobuf_reads_it(flips: list[tuple[int, int]]) -> None:
    damaged = bytearray(WHOLE)
    for position, mask in flips:
        damaged[position] ^= mask
    agrees_with_protobuf(bytes(damaged))


def agrees_with_protobuf(message: bytes) -> None:
    got = unpack_or_refuse(message)
    if got is None:
        return
    frame = Frame.FromString(message)
    assert got[0] == frame.header
    assert [bytes(t.data) for t in got[1]] == [frame.payload[t.offset :][: t.length] for t in frame.header.tensors]


@pytest.mark.parametrize(
    ("message", "names"),
    [
        (b"\x0a\xff\xff\xff\xff\x7f", "end at byte 34359738373 of a message of 6 bytes"),
        (b"\x12" + b"\xff" * 5 + b"\x01", "longer than 5 bytes"),
        (b"\x08" + b"\xff" * 10 + b"\x01", "longer than 10 bytes"),
        (b"\x12", "message of 1 bytes is not a frame"),
        (b"\x0b", "wire type 3 at byte 1"),
        (b"\x79\x00", "end at byte 9 of a message of 2"),
        (b"\x02\x00", "field number 0"),
        (field(1, b"\xff"), "not a frame"),
    ],
)
def test_frame_error_says_what_is_wrong_when_bytes_are_no_frame(message: bytes, names: str) -> None:
    with pytest.raises(FrameError, match=names):
        unpack_frame(message)


def test_frame_takes_no_memory_when_lengths_are_only_claimed() -> None:
    hostile = Header(tensors=[TensorHeader(shape=[2**31 - 1] * 4, offset=2**63, length=2**63)])
    messages = [
        field(1, hostile.SerializeToString()),
        b"\x12\xff\xff\xff\xff\x7f",
        b"\x0a\xff\xff\xff\xff\x7f",
    ]
    tracemalloc.start()
    try:
        assert [unpack_or_refuse(m) for m in messages] == [None] * 3
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()


def test_header_is_refused_when_it_is_too_large_to_unpack_safely() -> None:
    half = pack_frame(Header(error=Error(message="x" * (MAX_HEADER_BYTES // 2))))
    assert unpack_frame(half)[0].error.message
    with pytest.raises(FrameError, match=f"at most {MAX_HEADER_BYTES}"):
        unpack_frame(half + half)


@pytest.mark.parametrize("piece", [b"\x08\x00", b"\x12\x00", b"\x0a\x00", field(9, b""), b"\x0d\0\0\0\0"])
def test_frame_is_refused_when_it_has_more_fields_than_any_writer_makes(piece: bytes) -> None:
    """Each takes half a microsecond: of a message of the largest size, all of them would take minutes."""
    with pytest.raises(FrameError, match=f"more than {MAX_FIELDS} fields"):
        unpack_frame(piece * 2**20)
    unpack_frame(piece * MAX_FIELDS)


def test_frame_is_refused_when_it_has_more_tensors_than_any_model() -> None:
    with pytest.raises(FrameError, match=f"{2**12} tensors are refused; at most {MAX_TENSORS}") as raised:
        unpack_frame(Frame(header=Header(request_id=9, tensors=[TensorHeader()] * 2**12)).SerializeToString())
    assert raised.value.request_id == 9
    assert len(unpack_frame(pack_frame(Header(), [encoded(b"")] * MAX_TENSORS))[1]) == MAX_TENSORS


def test_frame_error_bears_the_request_id_when_the_header_could_be_read() -> None:
    outside = field(1, Header(request_id=9, tensors=[TensorHeader(length=1)]).SerializeToString())
    cut_short = field(1, Header(request_id=9).SerializeToString()) + b"\x12\x05abc"
    for message in (outside, cut_short):
        with pytest.raises(FrameError) as raised:
            unpack_frame(message)
        assert raised.value.request_id == 9
    with pytest.raises(FrameError) as raised:
        unpack_frame(b"\x12\x05abc")
    assert raised.value.request_id == 0


def test_protobuf_refuses_what_is_refused_here_when_a_field_is_cut_short() -> None:
    with pytest.raises(DecodeError):
        Frame.FromString(b"\x79\x00")


@pytest.mark.parametrize("many", [{"tensors": [TensorHeader()] * 513}, {"timings": [{}] * 513}])
def test_header_is_refused_when_it_has_more_entries_than_any_chain(many: dict[str, Any]) -> None:
    with pytest.raises(FrameError, match="at most 512") as raised:
        unpack_frame(Frame(header=Header(request_id=4, **many)).SerializeToString())
    assert raised.value.request_id == 4

"""Frames and headers as HTTP/2 and gRPC write them down."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable

import hpack
import pytest
from hyperframe.frame import DataFrame, Frame, HeadersFrame
from hypothesis import given
from hypothesis import strategies as st

from transport.errors import StreamBrokenError
from transport.message_stream import wire


@given(st.integers(0, wire.MAX_FRAME_BYTES), st.sampled_from([0, wire.END_STREAM]))
def test_data_header_is_what_hyperframe_reads(n_bytes: int, flags: int) -> None:
    header = wire.data_header(n_bytes, flags)
    frame, length = Frame.parse_frame_header(memoryview(header))
    assert (type(frame), length, frame.stream_id) == (DataFrame, n_bytes, wire.STREAM_ID)
    assert ("END_STREAM" in frame.flags) == bool(flags)
    assert wire.split_header(header) == (n_bytes, wire.DATA, flags, wire.STREAM_ID)


def test_split_header_ignores_the_reserved_bit_of_the_stream() -> None:
    assert wire.split_header(b"\0\0\x08\x06\0\x80\0\0\x05")[3] == 5


def texts(pairs: Iterable[tuple[bytes, bytes]]) -> list[tuple[str, str]]:
    return [(name.decode(), value.decode()) for name, value in pairs]


def decoded(frame: bytes) -> dict[str, str]:
    found, _ = Frame.parse_frame_header(memoryview(frame[:9]))
    assert isinstance(found, HeadersFrame)
    found.parse_body(memoryview(frame[9:]))
    return dict(texts(hpack.Decoder().decode(found.data, raw=True)))


def test_headers_are_read_by_a_decoder_that_keeps_no_table() -> None:
    decoder = hpack.Decoder()
    decoder.max_allowed_table_size = 0
    coder = wire.HeaderCoder()
    for pairs in (wire.response_headers(), wire.trailers(0, ""), wire.trailers(0, "")):
        assert texts(decoder.decode(coder.frame(pairs, ends_stream=False)[9:], raw=True)) == list(pairs)


def test_trailers_quote_what_is_not_ascii() -> None:
    frame = wire.HeaderCoder().frame(wire.trailers(8, "zu groß: 100 %\n"), ends_stream=True)
    assert decoded(frame) == {"grpc-status": "8", "grpc-message": "zu gro%C3%9F: 100 %25%0A"}


@given(st.binary(max_size=60))
def test_headers_that_cannot_be_read_are_a_typed_error(block: bytes) -> None:
    with contextlib.suppress(StreamBrokenError):  # some are headers
        wire.HeaderCoder().decode(block)


def test_headers_that_unfold_to_many_are_refused() -> None:
    bomb = b"\x40\x01a\x7f\xe1\x1e" + b"b" * 4000 + b"\xbe" * 50  # one entry of the table, fifty times
    with pytest.raises(StreamBrokenError, match="cannot be read"):
        wire.HeaderCoder().decode(bomb)


@given(st.integers(1, 255), st.integers(0, 255), st.integers(0, 5), st.binary(max_size=40))
def test_parse_takes_any_frame_or_raises_a_typed_error(kind: int, flags: int, stream_id: int, body: bytes) -> None:
    header = bytes([0, 0, len(body), kind, flags, 0, 0, 0, stream_id])
    with contextlib.suppress(StreamBrokenError):
        wire.parse(memoryview(header), memoryview(body))


@pytest.mark.parametrize(("code", "name"), [(8, "CANCEL"), (99, "error code 99")])
def test_error_name_is_for_people(code: int, name: str) -> None:
    assert wire.error_name(code) == name

"""What HTTP/2 and gRPC look like on the wire, as far as one stream of messages needs it (RFC 9113; gRPC over HTTP/2).

Frames other than DATA are rare and small: `hyperframe` and `hpack` read and write them. DATA carries the tensors and is
handled where it is sent and received, without a copy.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence

import hpack
from hyperframe.exceptions import HyperframeError
from hyperframe.frame import (
    Frame,
    GoAwayFrame,
    HeadersFrame,
    PingFrame,
    RstStreamFrame,
    SettingsFrame,
)

from transport.errors import StreamBrokenError

Headers = Sequence[tuple[str, str]]

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
# The only stream of a connection: tensors of two streams must not share a flow-control window.
STREAM_ID = 1
FRAME_HEADER_BYTES = 9
WINDOW_UPDATE_BYTES = 4
PREFIX_BYTES = 5  # of a gRPC message: a byte that says whether it is compressed, and its length
MAX_WINDOW_BYTES = 2**31 - 1
DEFAULT_WINDOW_BYTES = 2**16 - 1
MAX_FRAME_BYTES = 2**24 - 1
# Of frames other than DATA; hpack refuses longer lists of headers by itself.
MAX_CONTROL_BYTES = 2**16

DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = 0, 1, 3, 4, 6, 7, 8, 9
END_STREAM, PADDED = 0x1, 0x8
NO_ERROR, PROTOCOL_ERROR, FLOW_CONTROL_ERROR, REFUSED_STREAM, CANCEL = 0, 1, 3, 7, 8

# What comes with every message is read and written here; length and kind of a frame are 24 and 8 bits.
_FRAME_HEADER = struct.Struct(">IBI")
_PREFIX = struct.Struct(">BI")
_MESSAGE_START = struct.Struct(">IBIBI")
_INCREMENT = struct.Struct(">I")
_WINDOW_UPDATE = struct.Struct(">IBII")
_ANNOUNCED = struct.Struct(">4sI")  # eight bytes, as a ping has: what it is, and milliseconds
_SILENCE = b"hush"
_MAX_HEADER_LIST_BYTES = 2**14
_ERROR_NAMES = {
    NO_ERROR: "NO_ERROR",
    PROTOCOL_ERROR: "PROTOCOL_ERROR",
    2: "INTERNAL_ERROR",
    FLOW_CONTROL_ERROR: "FLOW_CONTROL_ERROR",
    REFUSED_STREAM: "REFUSED_STREAM",
    CANCEL: "CANCEL",
    11: "ENHANCE_YOUR_CALM",
}


def settings(window_bytes: int, *, is_client: bool) -> bytes:
    """What this side takes: whole messages in one DATA frame, one stream, nothing pushed."""
    values = {
        SettingsFrame.INITIAL_WINDOW_SIZE: window_bytes,
        SettingsFrame.MAX_FRAME_SIZE: MAX_FRAME_BYTES,
        SettingsFrame.MAX_HEADER_LIST_SIZE: _MAX_HEADER_LIST_BYTES,
    }
    if is_client:
        values[SettingsFrame.ENABLE_PUSH] = 0
    else:
        values[SettingsFrame.MAX_CONCURRENT_STREAMS] = 1
    return SettingsFrame(0, settings=values).serialize()


def settings_ack() -> bytes:
    """Says that the peer's settings are in force."""
    return SettingsFrame(0, flags=["ACK"]).serialize()


def window_update(stream_id: int, increment: int) -> bytes:
    """Allows the peer `increment` more bytes; stream 0 is the connection."""
    return _WINDOW_UPDATE.pack(WINDOW_UPDATE_BYTES << 8 | WINDOW_UPDATE, 0, stream_id, increment)


def ping(opaque: bytes, *, is_answer: bool) -> bytes:
    """Eight bytes that the peer sends back."""
    return PingFrame(0, opaque_data=opaque, flags=["ACK"] if is_answer else []).serialize()


def announced_silence(seconds: float) -> bytes:
    """What a ping carries that announces a silence."""
    return _ANNOUNCED.pack(_SILENCE, min(round(seconds * 1e3), 2**32 - 1))


def read_announced_silence(opaque: bytes) -> float | None:
    """The silence in seconds that a ping announces; None: it is a ping like others."""
    what, silence_ms = _ANNOUNCED.unpack(opaque)
    return silence_ms / 1e3 if what == _SILENCE else None


def reset(stream_id: int, code: int) -> bytes:
    """Ends a stream at once."""
    return RstStreamFrame(stream_id, error_code=code).serialize()


def go_away(code: int, why: str = "") -> bytes:
    """No stream but the first is served on this connection."""
    return GoAwayFrame(0, last_stream_id=STREAM_ID, error_code=code, additional_data=why.encode()[:512]).serialize()


def data_header(n_bytes: int, flags: int) -> bytes:
    """The header of a DATA frame of the stream."""
    return _FRAME_HEADER.pack(n_bytes << 8 | DATA, flags, STREAM_ID)


def frame_header(n_bytes: int, kind: int, flags: int, stream_id: int) -> bytes:
    """The header of any frame."""
    return _FRAME_HEADER.pack(n_bytes << 8 | kind, flags, stream_id)


def message_start(n_bytes: int) -> bytes:
    """The header of a DATA frame that holds a whole message, and the message's prefix."""
    return _MESSAGE_START.pack((n_bytes + PREFIX_BYTES) << 8 | DATA, 0, STREAM_ID, 0, n_bytes)


def message_prefix(n_bytes: int) -> bytes:
    """What gRPC puts before a message."""
    return _PREFIX.pack(0, n_bytes)


def request_headers(path: str, authority: str) -> Headers:
    """A client's opening of the stream."""
    return (
        (":method", "POST"),
        (":scheme", "http"),
        (":path", path),
        (":authority", authority),
        ("te", "trailers"),
        ("content-type", "application/grpc"),
        ("user-agent", "boardline"),
    )


def requested_path(headers: Mapping[str, str]) -> str:
    """The path of a client's opening. Raises: StreamBrokenError: it asks for something other than gRPC."""
    if headers.get(":method") != "POST" or not headers.get("content-type", "").startswith("application/grpc"):
        raise StreamBrokenError("its request is not gRPC")
    return headers.get(":path", "")


def response_headers() -> Headers:
    """A server's first headers."""
    return ((":status", "200"), ("content-type", "application/grpc"))


def trailers(status: int, message: str) -> Headers:
    """How a server ends the stream; gRPC wants its message in percent-encoded ASCII."""
    quoted = "".join(c if " " <= c <= "~" and c != "%" else "".join(f"%{b:02X}" for b in c.encode()) for c in message)
    return (("grpc-status", str(status)), *([("grpc-message", quoted)] if quoted else []))


class HeaderCoder:
    """Headers of one connection: HPACK has a state in each direction."""

    def __init__(self) -> None:
        self._encoder = hpack.Encoder()
        # Without a table there is no state that a peer's settings could upset, or two threads.
        self._encoder.header_table_size = 0
        self._decoder = hpack.Decoder(_MAX_HEADER_LIST_BYTES)

    def frame(self, headers: Headers, *, ends_stream: bool) -> bytes:
        """A HEADERS frame."""
        block = self._encoder.encode(list(headers))
        flags = ["END_HEADERS", *(["END_STREAM"] if ends_stream else [])]
        return HeadersFrame(STREAM_ID, data=block, flags=flags).serialize()

    def decode(self, block: bytes) -> dict[str, str]:
        """Raises: StreamBrokenError: no headers, or too many."""
        try:
            pairs = self._decoder.decode(block)
            return {str(name): str(value) for name, value in pairs}
        except (hpack.HPACKError, UnicodeDecodeError) as error:
            raise StreamBrokenError(f"it sent headers that cannot be read: {error}") from error


def split_header(buffer: bytes | bytearray | memoryview, at: int = 0) -> tuple[int, int, int, int]:
    """(length, type, flags, stream id) of the nine bytes there."""
    length_and_kind, flags, stream_id = _FRAME_HEADER.unpack_from(buffer, at)
    return length_and_kind >> 8, length_and_kind & 0xFF, flags, stream_id & MAX_WINDOW_BYTES


def split_prefix(buffer: bytes | bytearray | memoryview, at: int = 0) -> tuple[int, int]:
    """(whether it is compressed, length) of the gRPC message whose prefix is there."""
    is_compressed, n_bytes = _PREFIX.unpack_from(buffer, at)
    return is_compressed, n_bytes


def split_window_update(buffer: bytes | bytearray | memoryview, at: int = 0) -> int:
    """The increment in the four bytes there."""
    return int(_INCREMENT.unpack_from(buffer, at)[0]) & MAX_WINDOW_BYTES


def parse(header: memoryview, body: memoryview) -> Frame:
    """A frame other than DATA. Raises: StreamBrokenError."""
    try:
        frame, _ = Frame.parse_frame_header(header)
        frame.parse_body(body)
    except (HyperframeError, ValueError) as error:
        raise StreamBrokenError(f"it sent a frame that is not HTTP/2: {error}") from error
    return frame


def error_name(code: int) -> str:
    """An HTTP/2 error code for people."""
    return _ERROR_NAMES.get(code, f"error code {code}")

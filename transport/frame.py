"""Frames of the data plane: a serialised header and, appended by hand, one payload that holds all tensors.

Serialising a message with a 1 MiB bytes field through python-protobuf costs 0.7-1.5 ms; appending the field to the
serialised header costs about 12 us and gives the same bytes (docs/adr/0003).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple, Union

from google.protobuf.message import DecodeError

from protos.v1.data_plane_pb2 import Header, TensorHeader
from transport.errors import FrameError

BytesLike = Union[bytes, bytearray, memoryview]

# Tensors start at multiples of a cache line, which is also what the runtime aligns its own tensors to.
ALIGNMENT_BYTES = 64
_HEADER_TAG = b"\x0a"  # field 1, length-delimited
_PAYLOAD_TAG = b"\x12"  # field 2, length-delimited
_PADDING_TAG = b"\x1a"  # field 3, length-delimited
_LEAST_PADDING_BYTES = 2  # its tag, and a length below 128
_HEADER_FIELD, _PAYLOAD_FIELD = _HEADER_TAG[0], _PAYLOAD_TAG[0]
_MAX_VARINT_BYTES = 10
_MAX_TAG_BYTES = _MAX_LENGTH_BYTES = 5  # both are 32-bit numbers
_MAX_FIELD_NUMBER = 2**29 - 1
# A header has some 30 bytes a tensor and 40 a stage. Unpacked, hostile ones take a hundred times their size.
MAX_HEADER_BYTES = 2**17
# Ours have three. What costs little to send and time to read is bounded: half a microsecond a field, five a tensor.
MAX_FIELDS = 64
# Headers wait with their frames: those of more entries than any chain has are not kept. Of the models that we know, none has ten
# tensors that cross a cut.
MAX_TENSORS = MAX_TIMINGS = 512
_ZEROS = bytes(ALIGNMENT_BYTES)


class EncodedTensor(NamedTuple):
    """A tensor as it travels: what the header says of it, and its bytes. The header may be shared: it is never changed."""

    header: TensorHeader
    data: BytesLike


def pack_frame(header: Header, tensors: Sequence[EncodedTensor] = ()) -> bytes:
    """One message as it is on the wire: `frame_parts` in one piece."""
    return b"".join(frame_parts(header, tensors))


def frame_parts(header: Header, tensors: Sequence[EncodedTensor] = ()) -> list[BytesLike]:
    """One message in parts, without a copy: `header` with a TensorHeader added per tensor, then the tensors' own bytes.

    The payload starts at a multiple of ALIGNMENT_BYTES of the message, and each tensor at one of the payload. The tensors' own
    `offset` and `length` are ignored and set anew, so a tensor taken from one frame goes into another as it is.
    """
    chunks: list[BytesLike] = []
    offset = 0
    for described, data in tensors:
        padding = -offset % ALIGNMENT_BYTES
        if padding:
            chunks.append(_ZEROS[:padding])
            offset += padding
        length = len(data)
        entry = header.tensors.add()
        entry.MergeFrom(described)
        entry.offset, entry.length = offset, length
        chunks.append(data)
        offset += length
    serialized = header.SerializeToString()
    before = _HEADER_TAG + _varint(len(serialized)) + serialized
    if not offset:
        return [before]
    tag = _PAYLOAD_TAG + _varint(offset)
    padding = -(len(before) + _LEAST_PADDING_BYTES + len(tag)) % ALIGNMENT_BYTES
    return [before + _PADDING_TAG + bytes((padding,)) + _ZEROS[:padding] + tag, *chunks]


def unpack_frame(message: bytes | memoryview) -> tuple[Header, list[EncodedTensor]]:
    """The header, and the tensors as views into `message`; nothing of the payload is copied.

    Raises: FrameError: not a frame, more than MAX_FIELDS fields, MAX_HEADER_BYTES of header, MAX_TENSORS tensors or MAX_TIMINGS
        timings, or a tensor that lies outside the payload.
    """
    view = memoryview(message)
    header = Header()
    payload = view[:0]
    header_bytes = 0
    try:
        for tag, start, stop in _fields(view):
            if tag == _PAYLOAD_FIELD:
                payload = view[start:stop]
            elif tag == _HEADER_FIELD:
                header_bytes += stop - start
                if header_bytes > MAX_HEADER_BYTES:
                    raise FrameError(
                        f"a header of {header_bytes} bytes is refused; at most {MAX_HEADER_BYTES} are taken."
                    )
                header.MergeFromString(bytes(view[start:stop]))
        for entries, most, what in ((header.tensors, MAX_TENSORS, "tensors"), (header.timings, MAX_TIMINGS, "timings")):
            if len(entries) > most:
                raise FrameError(f"{len(entries)} {what} are refused; at most {most} are taken.")
        return header, [_locate(entry, payload) for entry in header.tensors]
    except (DecodeError, IndexError) as error:
        raise FrameError(f"a message of {len(message)} bytes is not a frame: {error}.") from error
    except FrameError as error:
        error.request_id = header.request_id
        raise


def _locate(entry: TensorHeader, payload: memoryview) -> EncodedTensor:
    start = entry.offset
    stop = start + entry.length
    if stop > len(payload):
        raise FrameError(f"a tensor is said to end at byte {stop} of a payload of {len(payload)} bytes.")
    return EncodedTensor(entry, payload[start:stop])


def _fields(message: memoryview) -> Iterable[tuple[int, int, int]]:
    """(tag, start, stop) of the length-delimited fields; any protobuf writer's order and any new field is taken."""
    position, size, left = 0, len(message), MAX_FIELDS
    while position < size:
        if not left:
            raise FrameError(f"a message of {size} bytes has more than {MAX_FIELDS} fields, and is no frame.")
        left -= 1
        tag = message[position]
        if 8 <= tag < 0x80:  # in one byte, as ours are
            position += 1
        else:
            tag, position = _read_varint(message, position, _MAX_TAG_BYTES)
        wire_type = tag & 7
        if not 0 < tag >> 3 <= _MAX_FIELD_NUMBER:
            raise FrameError(f"a message of {size} bytes is not a frame: field number {tag >> 3}.")
        if wire_type == 2:
            length, position = _read_varint(message, position, _MAX_LENGTH_BYTES)
            if position + length > size:
                raise FrameError(f"a field is said to end at byte {position + length} of a message of {size} bytes.")
            yield tag, position, position + length
            position += length
        elif wire_type == 0:
            _, position = _read_varint(message, position)
        elif wire_type in (1, 5):
            position += 8 if wire_type == 1 else 4
            if position > size:
                raise FrameError(f"a field is said to end at byte {position} of a message of {size} bytes.")
        else:
            raise FrameError(f"a message of {size} bytes is not a frame: wire type {wire_type} at byte {position}.")


def _read_varint(message: memoryview, position: int, max_bytes: int = _MAX_VARINT_BYTES) -> tuple[int, int]:
    value = 0
    for shift in range(0, 7 * max_bytes, 7):
        byte = message[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if not byte & 0x80:
            return value, position
    raise FrameError(f"a message is not a frame: a number is longer than {max_bytes} bytes.")


def _varint(value: int) -> bytes:
    if value < 0x80:
        return bytes((value,))
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)

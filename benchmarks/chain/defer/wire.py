"""Arrays over TCP in the manner of DEFER: eight bytes of length, then ZFP's bytes in an LZ4 frame. Length 0 ends the stream."""

from __future__ import annotations

import socket
import struct
from typing import Any

import lz4.frame
import numpy as np
import zfpy

Array = np.ndarray[Any, Any]
_LENGTH = struct.Struct(">Q")
_CHUNK_BYTES = 512_000


def encode(array: Array) -> bytes:
    """Lossless; float32 of one to four dimensions."""
    packed: bytes = lz4.frame.compress(zfpy.compress_numpy(array))
    return packed


def decode(data: bytes) -> Array:
    """What `encode` was given."""
    array: Array = zfpy.decompress_numpy(lz4.frame.decompress(data))
    return array


def send(connection: socket.socket, data: bytes) -> None:
    """Sends one message; an empty one ends the stream."""
    connection.sendall(_LENGTH.pack(len(data)))
    connection.sendall(data)


def receive(connection: socket.socket) -> bytes:
    """The next message; empty at the end of the stream. Raises: ConnectionError: the peer is gone before it."""
    (length,) = _LENGTH.unpack(_receive_exactly(connection, _LENGTH.size))
    return _receive_exactly(connection, length)


def _receive_exactly(connection: socket.socket, count: int) -> bytes:
    chunks = []
    while count > 0:
        chunk = connection.recv(min(count, _CHUNK_BYTES))
        if not chunk:
            raise ConnectionError("the peer closed the connection in the middle of a message.")
        chunks.append(chunk)
        count -= len(chunk)
    return b"".join(chunks)

"""One board's part in a DEFER-style chain: a thread that receives and decodes, one that computes, encodes and sends."""

from __future__ import annotations

import queue
import socket
import threading
from collections.abc import Callable

from benchmarks.chain.defer import wire

_QUEUED_FRAMES = 1000  # as DEFER has it; the dispatcher sends fewer in all
TIMEOUT_S = 600.0


def serve_stream(
    compute: Callable[[wire.Array], wire.Array], listener: socket.socket, next_address: tuple[str, int]
) -> None:
    """Takes one stream from its first frame to its last and passes on what is computed.

    Raises: OSError, queue.Empty: a neighbour is gone, or nothing came for TIMEOUT_S.
    """
    frames: queue.Queue[wire.Array | None] = queue.Queue(_QUEUED_FRAMES)
    before, _ = listener.accept()
    before.settimeout(TIMEOUT_S)
    receiving = threading.Thread(target=_receive, args=(before, frames), daemon=True)
    receiving.start()
    with before, socket.create_connection(next_address, timeout=TIMEOUT_S) as behind:
        while (frame := frames.get(timeout=TIMEOUT_S)) is not None:
            wire.send(behind, wire.encode(compute(frame)))
        wire.send(behind, b"")
    receiving.join()


def _receive(connection: socket.socket, frames: queue.Queue[wire.Array | None]) -> None:
    try:
        while data := wire.receive(connection):
            frames.put(wire.decode(data))
    finally:
        frames.put(None)

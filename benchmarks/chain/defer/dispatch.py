"""The dispatcher of a DEFER-style chain: sends frames to the first board, takes answers from the last one."""

from __future__ import annotations

import socket
import threading
import time

from benchmarks.chain.defer import wire

DISPATCHER_PORT = 5000


def run_frames(first: tuple[str, int], frame: wire.Array, count: int, timeout_s: float) -> list[float]:
    """When each answer came, in seconds of one clock; frames go in as fast as the first board takes them.

    Raises: OSError: a board is gone, or an answer took longer than `timeout_s`.
    """
    with socket.create_server(("0.0.0.0", DISPATCHER_PORT)) as listener:
        listener.settimeout(timeout_s)
        with socket.create_connection(first, timeout=timeout_s) as forth:
            # On a thread of its own: with all buffers full the first board takes a frame only when answers are read.
            sending = threading.Thread(target=_send, args=(forth, frame, count), daemon=True)
            sending.start()
            back, _ = listener.accept()
            at_s = []
            with back:
                back.settimeout(timeout_s)
                while data := wire.receive(back):
                    wire.decode(data)
                    at_s.append(time.perf_counter())
            sending.join()
    return at_s


def _send(connection: socket.socket, frame: wire.Array, count: int) -> None:
    for _ in range(count):
        wire.send(connection, wire.encode(frame))
    wire.send(connection, b"")

"""One board of a DEFER-style chain: `python -m benchmarks.chain.defer.node PART PORT NEXT_HOST NEXT_PORT`.

Says "ready" on stdout once its sub-model has computed once, so that what is measured is no start-up.
"""

from __future__ import annotations

import queue
import socket
import sys
import threading
from collections.abc import Callable

import keras
import numpy as np

from benchmarks.chain.defer import wire

_QUEUED_FRAMES = 1000  # as DEFER has it; the dispatcher sends fewer in all
_TIMEOUT_S = 600.0


def serve(compute: Callable[[wire.Array], wire.Array], listener: socket.socket, next_address: tuple[str, int]) -> None:
    """Takes one stream from its first frame to its last and passes on what is computed."""
    frames: queue.Queue[wire.Array | None] = queue.Queue(_QUEUED_FRAMES)
    before, _ = listener.accept()
    before.settimeout(_TIMEOUT_S)
    receiving = threading.Thread(target=_receive, args=(before, frames), daemon=True)
    receiving.start()
    with before, socket.create_connection(next_address, timeout=_TIMEOUT_S) as behind:
        while (frame := frames.get(timeout=_TIMEOUT_S)) is not None:
            wire.send(behind, wire.encode(compute(frame)))
        wire.send(behind, b"")
    receiving.join()


def _receive(connection: socket.socket, frames: queue.Queue[wire.Array | None]) -> None:
    try:
        while data := wire.receive(connection):
            frames.put(wire.decode(data))
    finally:
        frames.put(None)


def main() -> None:
    """Entry point."""
    part, port, next_host, next_port = sys.argv[1:5]
    model = keras.models.load_model(part)

    def compute(frame: wire.Array) -> wire.Array:
        answer: wire.Array = model.predict(frame, verbose=0)
        return answer

    compute(np.zeros((1, *model.input_shape[1:]), np.float32))
    with socket.create_server(("0.0.0.0", int(port))) as listener:
        listener.settimeout(_TIMEOUT_S)
        print("ready", flush=True)
        serve(compute, listener, (next_host, int(next_port)))


if __name__ == "__main__":
    main()

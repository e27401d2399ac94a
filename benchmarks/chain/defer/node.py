"""One board of a DEFER-style chain: `python -m benchmarks.chain.defer.node PART PORT NEXT_HOST NEXT_PORT`.

Says "ready" on stdout once its sub-model has computed once, so that what is measured is no start-up.
"""

from __future__ import annotations

import socket
import sys

import keras
import numpy as np

from benchmarks.chain.defer.stream import TIMEOUT_S, serve_stream
from benchmarks.chain.defer.wire import Array


def main() -> None:
    """Entry point."""
    part, port, next_host, next_port = sys.argv[1:5]
    model = keras.models.load_model(part)

    def compute(frame: Array) -> Array:
        answer: Array = model.predict(frame, verbose=0)
        return answer

    compute(np.zeros((1, *model.input_shape[1:]), np.float32))
    with socket.create_server(("0.0.0.0", int(port))) as listener:
        listener.settimeout(TIMEOUT_S)
        print("ready", flush=True)
        serve_stream(compute, listener, (next_host, int(next_port)))


if __name__ == "__main__":
    main()

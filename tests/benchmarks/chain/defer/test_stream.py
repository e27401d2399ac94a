"""A DEFER-style chain of two boards on this machine's loopback, with functions in place of Keras models."""

from __future__ import annotations

import socket
import threading
from contextlib import ExitStack

import numpy as np
import pytest

wire = pytest.importorskip("benchmarks.chain.defer.wire", reason="needs zfpy", exc_type=ImportError)


def test_coding_is_lossless() -> None:
    array = np.random.default_rng(1).standard_normal((1, 7, 5, 3)).astype(np.float32)
    assert np.array_equal(wire.decode(wire.encode(array)), array)


def test_end_in_the_middle_of_a_message_is_an_error() -> None:
    ours, theirs = socket.socketpair()
    with ours:
        with theirs:
            theirs.sendall((10).to_bytes(8, "big") + b"four")
        with pytest.raises(ConnectionError, match="in the middle of a message"):
            wire.receive(ours)


def test_frames_pass_all_boards_in_order() -> None:
    from benchmarks.chain.defer.stream import serve_stream

    with ExitStack() as servers:
        first, last, end = (servers.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(3))
        steps = [
            (lambda x: x + 1, first, last.getsockname()),
            (lambda x: x * 2, last, end.getsockname()),
        ]
        threads = [threading.Thread(target=serve_stream, args=step, daemon=True) for step in steps]
        for thread in threads:
            thread.start()
        with socket.create_connection(first.getsockname()) as forth:
            for number in range(5):
                wire.send(forth, wire.encode(np.full((1, 4), number, np.float32)))
            wire.send(forth, b"")
            answers = read_all(end)
        for thread in threads:
            thread.join(30)
            assert not thread.is_alive()
    assert answers == [2.0, 4.0, 6.0, 8.0, 10.0]


def read_all(listener: socket.socket) -> list[float]:
    back, _ = listener.accept()
    answers = []
    with back:
        while data := wire.receive(back):
            answers.append(float(wire.decode(data)[0, 0]))
    return answers

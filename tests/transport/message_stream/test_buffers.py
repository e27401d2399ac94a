"""Memory of messages: aligned, nobody else's while anybody looks at it, and used again afterwards."""

from __future__ import annotations

import gc

import numpy as np
import pytest

from transport.frame import ALIGNMENT_BYTES
from transport.message_stream.buffers import MessageBuffers


def address(memory: memoryview) -> int:
    return int(np.frombuffer(memory, np.uint8).ctypes.data)


@pytest.mark.parametrize("n_bytes", [0, 1, 63, 64, 65, 10**6])
def test_memory_is_aligned(n_bytes: int) -> None:
    memory = MessageBuffers().take(n_bytes)
    assert (len(memory), memory.readonly, memory.format) == (n_bytes, False, "B")
    assert n_bytes == 0 or address(memory) % ALIGNMENT_BYTES == 0


def test_memory_is_used_again_once_nobody_looks_at_it() -> None:
    buffers = MessageBuffers()
    first = buffers.take(1000)
    at = address(first)
    del first
    assert address(buffers.take(900)) == at


@pytest.mark.parametrize(
    "hold",
    [
        lambda m: m,
        lambda m: m[10:20],
        lambda m: np.frombuffer(m[8:16], np.float32),
        lambda m: np.ndarray((4,), np.float32, m[64:80]),
        lambda m: np.ndarray((4,), np.float32, m[64:80])[1:],
    ],
)
def test_memory_is_left_alone_while_any_part_of_it_is_in_use(hold: object) -> None:
    buffers = MessageBuffers()
    memory = buffers.take(1000)
    memory[:] = bytes(1000)
    held = hold(memory)  # type: ignore[operator]
    del memory
    gc.collect()
    others = [buffers.take(1000) for _ in range(10)]
    for other in others:
        other[:] = b"x" * 1000
    assert b"x" not in bytes(held)


def test_few_buffers_are_kept_and_a_large_one_is_not_wasted_on_a_small_message() -> None:
    buffers = MessageBuffers()
    large = buffers.take(10**6)
    at = address(large)
    del large
    assert address(buffers.take(1000)) != at
    for size in range(1000, 10_000, 500):
        buffers.take(size)
    assert len(buffers._buffers) <= 6

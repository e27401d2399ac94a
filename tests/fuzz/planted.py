"""A target with defects, by which the fuzzer itself is tested."""

from __future__ import annotations

import mmap
import os
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from tests.fuzz.bounds import MOST_GROWTH_BYTES, MOST_S
from tests.fuzz.child import ROOM_BYTES
from tests.fuzz.target import Run, Target


class PlantedError(Exception):
    """What the target may raise."""


def _seeds() -> Iterator[bytes]:
    yield b"fine"
    yield b"typed"


def _start(_scratch: Path) -> AbstractContextManager[Run]:
    return nullcontext(_do)


def _do(data: bytes) -> None:
    if data == b"typed":
        raise PlantedError
    if data == b"untyped":
        raise KeyError("a defect")
    if data == b"crash":
        os.abort()
    if data == b"slow":
        begun_s = time.monotonic()
        while time.monotonic() - begun_s < 1.2 * MOST_S:
            pass
    if data == b"hang":
        while True:
            time.sleep(1)
    if data == b"memory":
        with mmap.mmap(-1, 2 * MOST_GROWTH_BYTES) as memory:
            for start in range(0, len(memory), mmap.PAGESIZE):
                memory[start] = 1
    if data == b"claim":
        mmap.mmap(-1, 2 * ROOM_BYTES).close()


TARGET = Target("tests.fuzz.planted", _start, (PlantedError,), _seeds)

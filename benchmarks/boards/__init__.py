"""Emulated boards: a cluster of node services on one Linux machine, with links, CPU and memory as small boards have.

As commands: `python -m benchmarks.boards up|run|down|status`; from Python: `EmulatedBoards`.

A board's CPU time is handed out in slices of a 10 ms period: means over many frames hold within some 3 %, a single frame
shorter than a slice runs at the machine's full speed or waits for the next period. What is not emulated: delay, where the
kernel has no netem; the CPU time that a board spends in its network driver, which the kernel charges to whoever runs; and
an ARM core's instructions, caches and memory bandwidth.
"""

from benchmarks.boards.cluster import EmulatedBoards
from benchmarks.boards.errors import (
    BoardStartError,
    CallError,
    CannotEmulateError,
    ClusterStateError,
    EmulationError,
    SpecError,
)
from benchmarks.boards.spec import BoardSpec

__all__ = [
    "BoardSpec",
    "BoardStartError",
    "CallError",
    "CannotEmulateError",
    "ClusterStateError",
    "EmulatedBoards",
    "EmulationError",
    "SpecError",
]

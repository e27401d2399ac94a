"""Runs a DEFER-style chain on emulated boards and gives its rate."""

from __future__ import annotations

import os
import select
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from benchmarks.boards import EmulatedBoards, EmulationError
from benchmarks.chain.errors import BaselineError
from transport.tensor_spec import Array

_ROOT = Path(__file__).parents[3]
_PORT = 5001
# One thread, as the node services have here; the libraries' messages are not wanted.
_ENVIRONMENT = {"TF_CPP_MIN_LOG_LEVEL": "3", "TF_NUM_INTRAOP_THREADS": "1", "TF_NUM_INTEROP_THREADS": "1"}
_START_TIMEOUT_S = 300.0
_FRAME_TIMEOUT_S = 120.0
_LOG_LINES_SHOWN = 5


def defer_rate(boards: EmulatedBoards, keras_file: Path, shares: Sequence[float], frame: Array, frames: int) -> float:
    """Images per second of the chain on the first boards, from its first answer to its last.

    Its processes start without CPU quota, because TensorFlow takes seconds of CPU time to load, and have it when frames come.
    Args:
        shares: of the work done at each cut.
        frame: float32, the model's input. frames: how many of it, 2 at least.
    Raises: BaselineError: the sub-models cannot be made, a process ended, or an answer took too long.
    """
    with tempfile.TemporaryDirectory() as scratch, ExitStack() as running:
        with boards.with_cores(None):
            parts = _make_parts(keras_file, shares, Path(scratch))
            processes = [
                running.enter_context(_node(boards, index, part, index + 1 == len(parts)))
                for index, part in enumerate(parts)
            ]
            deadline_s = time.monotonic() + _START_TIMEOUT_S
            for process in processes:
                _wait_until_ready(process, deadline_s)
        first = (boards.boards[0].address.host, _PORT)
        from benchmarks.chain.defer.dispatch import run_frames  # needs zfpy, which only this baseline does

        try:
            at_s = boards.call(
                run_frames,
                first,
                frame,
                frames,
                _FRAME_TIMEOUT_S,
                timeout_s=frames * _FRAME_TIMEOUT_S,
            )
        except (OSError, EmulationError) as error:
            raise BaselineError(f"the DEFER-style chain on {len(parts)} boards gave no answer: {error}") from error
    if len(at_s) < 2:
        raise BaselineError(
            f"the DEFER-style chain on {len(parts)} boards gave {len(at_s)} answers to {frames} frames."
        )
    return (len(at_s) - 1) / (at_s[-1] - at_s[0])


def _make_parts(keras_file: Path, shares: Sequence[float], out: Path) -> list[Path]:
    words = [str(keras_file), str(out), ",".join(map(str, shares))]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.chain.defer.make_parts", *words],
        cwd=_ROOT,
        env={**os.environ, **_ENVIRONMENT},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines()[-_LOG_LINES_SHOWN:]
        raise BaselineError(f"{keras_file.name} cannot be cut into {len(shares) + 1} Keras models: {' | '.join(lines)}")
    return [out / f"part{index}.keras" for index in range(len(shares) + 1)]


@contextmanager
def _node(boards: EmulatedBoards, index: int, part: Path, is_last: bool) -> Iterator[subprocess.Popen[bytes]]:
    from benchmarks.chain.defer.dispatch import DISPATCHER_PORT

    board = boards.boards[index]
    behind = (boards.dispatcher_host, DISPATCHER_PORT) if is_last else (boards.boards[index + 1].address.host, _PORT)
    command = [sys.executable, "-m", "benchmarks.chain.defer.node", str(part), str(_PORT), behind[0], str(behind[1])]
    process = subprocess.Popen(
        boards.command(command, on=board.spec.name),
        cwd=_ROOT,
        env={**os.environ, **_ENVIRONMENT},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def _wait_until_ready(process: subprocess.Popen[bytes], deadline_s: float) -> None:
    assert process.stdout is not None
    while select.select([process.stdout], [], [], max(0.0, deadline_s - time.monotonic()))[0]:
        line = process.stdout.readline()
        if line == b"ready\n":
            return
        if not line:
            raise BaselineError(f"a process of the DEFER-style chain ended with {process.wait()} before it was ready.")
    raise BaselineError(f"a process of the DEFER-style chain was not ready within {_START_TIMEOUT_S:g} s.")

"""Runs the shares of a group here, each with what it computed or was sent and nothing else."""

from __future__ import annotations

import queue
import threading
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

from bundle.shares import ShareProgram
from converter.errors import ConverterError
from protos.v1.manifest_pb2 import Partition
from runtime import TfliteRuntime
from transport.tensor_spec import Array

_TIMEOUT_S = 600.0


class _Passing:
    """Pieces between threads."""

    def __init__(self) -> None:
        self._pieces: defaultdict[int, queue.SimpleQueue[Sequence[Array]]] = defaultdict(queue.SimpleQueue)
        self._lock = threading.Lock()

    def receive(self, transfer: int) -> Sequence[Array]:
        try:
            return self._of(transfer).get(timeout=_TIMEOUT_S)
        except queue.Empty:
            raise ConverterError(f"nobody sent transfer {transfer} of a group.") from None

    def send(self, _peer: int, transfer: int, pieces: Sequence[Array]) -> None:
        self._of(transfer).put([piece.copy() for piece in pieces])

    def _of(self, transfer: int) -> queue.SimpleQueue[Sequence[Array]]:
        with self._lock:
            return self._pieces[transfer]


def run_group(
    group: Sequence[Partition],
    files: Mapping[str, Path],
    runtime: TfliteRuntime,
    threads: int,
    inputs: Sequence[Array],
) -> list[Array]:
    """What the leader gives for one frame.

    Args:
        group: the leader's partition, then the others'. files: by hash. inputs: the partition's, in its order.
    Raises: ShareError: a share that cannot be followed. ModelLoadError, ComputeError.
    """
    programs = [ShareProgram(partition.share, files, runtime, threads) for partition in group]
    passing, answers = _Passing(), queue.SimpleQueue[list[Array]]()
    arriving = list(zip(programs[0].places(group[0].inputs), inputs))
    leaving = programs[0].places(group[0].outputs)
    failures: list[BaseException] = []

    def follow(member: int, program: ShareProgram) -> None:
        try:
            if member:
                program.follow(passing)
            else:
                answers.put(program.follow(passing, arriving, leaving)[0])
        except BaseException as error:
            failures.append(error)

    workers = [
        threading.Thread(target=follow, args=(member, program), daemon=True) for member, program in enumerate(programs)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        while worker.is_alive() and not failures:
            worker.join(0.1)
    if failures:
        raise failures[0]
    return answers.get_nowait()

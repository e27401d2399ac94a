"""The process behind `up`: holds a cluster until it is told to end, so that a cluster always has an owner.

`python -m benchmarks.boards.keeper STATE_DIR` reads a request on stdin, and writes "ready" or what went wrong on stdout.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from benchmarks.boards.cluster import EmulatedBoards
from benchmarks.boards.errors import BoardStartError, ClusterStateError, EmulationError
from benchmarks.boards.interruption import ExitOnSignal
from benchmarks.boards.ownership import owner_is_alive, owner_pid
from benchmarks.boards.spec import BoardSpec
from benchmarks.boards.state import ClusterState, describe, locked, read_state, remove_state, write_state

_ROOT = Path(__file__).parents[2]
_READY = "ready"
# Beyond the boards' own time to start: loading this program, making the network, and cleaning up after a failure.
_SLACK_S = 60.0
_END_TIMEOUT_S = 45.0  # more than removing a cluster may take
_POLL_S = 0.02


def start_keeper(
    directory: Path, specs: Sequence[BoardSpec], dispatcher_link_bits_per_s: float | None, start_timeout_s: float
) -> None:
    """Starts a keeper in the background; returns once its boards serve.

    Raises: EmulationError: what the keeper says went wrong; by then nothing is left.
    """
    request = {
        "specs": [asdict(spec) for spec in specs],
        "dispatcher_link_bits_per_s": dispatcher_link_bits_per_s,
        "start_timeout_s": start_timeout_s,
    }
    with (directory / "keeper.log").open("ab") as log:
        keeper = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.boards.keeper", str(directory)],
            cwd=_ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            start_new_session=True,  # Ctrl-C at the terminal is for `up`, which passes it on
        )
    exit_on_signal = ExitOnSignal()
    exit_on_signal.begin()
    try:
        said = _ask(keeper, json.dumps(request).encode(), start_timeout_s + _SLACK_S)
    except BaseException:
        keeper.terminate()
        keeper.wait(_END_TIMEOUT_S)
        raise
    finally:
        exit_on_signal.end()
    if said != _READY:
        raise EmulationError(said or f"the keeper ended without a word; see {directory / 'keeper.log'}.")


def end_keeper(cluster_id: str) -> None:
    """Has the owner of a cluster end it, if it lives; after a time, ends the owner."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        deadline_s = time.monotonic() + _END_TIMEOUT_S
        if owner_is_alive(cluster_id):
            os.kill(owner_pid(cluster_id), number)
        while owner_is_alive(cluster_id) and time.monotonic() < deadline_s:
            time.sleep(_POLL_S)


def keep(directory: Path, request: str) -> None:
    """Holds the requested cluster until SIGTERM. Raises: EmulationError."""
    options = json.loads(request)
    specs = [BoardSpec(**spec) for spec in options.pop("specs")]
    cluster = EmulatedBoards(specs, **options)
    ExitOnSignal().begin()  # before anything is written that should not stay; to the end of the process
    with locked(directory):
        present = read_state(directory)
        if present is not None and owner_is_alive(present.cluster_id):
            raise ClusterStateError(f"boards are up already (state: {directory}); end them with `down` first.")
        write_state(directory, ClusterState(cluster.cluster_id))
    try:
        with cluster:
            write_state(directory, describe(cluster, directory))
            _say(_READY)
            while True:
                signal.pause()  # SIGTERM raises SystemExit
    finally:
        remove_state(directory)


def _ask(keeper: subprocess.Popen[bytes], request: bytes, timeout_s: float) -> str:
    assert keeper.stdin is not None
    assert keeper.stdout is not None
    with keeper.stdin as stdin:
        stdin.write(request)
    with keeper.stdout as stdout:
        if not select.select([stdout], [], [], timeout_s)[0]:
            raise BoardStartError(f"the boards were not up after {timeout_s:g} s.")
        return stdout.read().decode().strip()  # the keeper closes it after its one answer


def _say(text: str) -> None:
    """Answers `up`, once: closing the stream ends its wait."""
    sys.stdout.write(text)
    sys.stdout.flush()
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, sys.stdout.fileno())
    os.close(null)


def main() -> None:
    """Entry point of `python -m benchmarks.boards.keeper`."""
    try:
        keep(Path(sys.argv[1]), sys.stdin.read())
    except EmulationError as error:
        _say(str(error))
        sys.exit(1)


if __name__ == "__main__":
    main()

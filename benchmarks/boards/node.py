"""One emulated board's node service: started inside its namespace and cgroups, watched until it serves."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.boards.cgroups import BoardGroup
from benchmarks.boards.errors import BoardStartError
from benchmarks.boards.inside import command_inside
from benchmarks.boards.spec import BoardSpec
from transport.address import Address

_ROOT = Path(__file__).parents[2]
_PORT = 50051
_POLL_S = 0.02
_LOG_LINES_SHOWN = 15


class EmulatedBoard:
    """A board of a running cluster. Its log is a file, complete, and nothing blocks on it."""

    def __init__(self, spec: BoardSpec, host: str, namespace: Path, group: BoardGroup, directory: Path) -> None:
        self.spec = spec
        self.address = Address(host, _PORT)
        self.namespace = namespace
        self.group = group
        self.log_file = directory / f"{spec.name}.log"
        self._store = directory / f"{spec.name}.store"
        self._process: subprocess.Popen[bytes] | None = None
        self._log_start = 0  # of the present process

    @property
    def process(self) -> subprocess.Popen[bytes]:
        """The node service; anyone may signal it to see what the chain does."""
        assert self._process is not None, "not started"
        return self._process

    def start(self, arguments: Sequence[str], credentials: Path | None) -> None:
        """Starts the node service, in a session of its own: Ctrl-C at a terminal is for whoever cleans up."""
        command = [sys.executable, "-m", "node_service", "--listen", str(self.address)]
        command += ["--insecure"] if credentials is None else ["--credentials", str(credentials)]
        named = ["--name", self.spec.name, "--store", str(self._store), *arguments]
        with self.log_file.open("ab") as log:
            self._log_start = log.tell()
            self._process = subprocess.Popen(
                command_inside(self.namespace, [*command, *named], self.group.join_files),
                cwd=_ROOT,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def wait_until_it_serves(self, deadline_s: float) -> None:
        """Args: deadline_s: on the monotonic clock. Raises: BoardStartError: it ended, or it does not serve in time."""
        while f" serves on {self.address} with " not in self._log():
            status = self.process.poll()
            if status is not None:
                raise BoardStartError(f"board {self.spec.name} ended with {status}{self._why()}\n{self._log_end()}")
            if time.monotonic() > deadline_s:
                raise BoardStartError(f"board {self.spec.name} does not serve in time.\n{self._log_end()}")
            time.sleep(_POLL_S)

    def _log(self) -> str:
        return self.log_file.read_bytes()[self._log_start :].decode(errors="replace")

    def end(self) -> None:
        """Takes the exit status of a node service that was killed, so that no zombie stays."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def _why(self) -> str:
        if self.group.memory_kills() == 0:
            return "."
        return f": it needs more than its memory limit of {self.spec.memory_bytes} bytes. Give it more."

    def _log_end(self) -> str:
        return "\n".join(self.log_file.read_text(errors="replace").splitlines()[-_LOG_LINES_SHOWN:])

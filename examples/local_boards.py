"""Node services as real processes on this machine's loopback, standing in for boards."""

from __future__ import annotations

import atexit
import functools
import re
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from dispatcher_client import Board
from dispatcher_client.certificates import LEAF_DAYS, FleetDirectory, Holder, Right
from examples.local_process import LocalProcess
from transport.address import Address

_HOSTS = ("127.0.0.1", "localhost")
_METRICS_ON = re.compile(r"metrics on https?://(\S+)/metrics")
_SERVES_ON = re.compile(r" serves on (\S+) with ")


class LocalFleet:
    """Certificates for node services on this machine, made on the spot in a directory that nobody else needs.

    Attributes: operator: the credentials of who may stream and load.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        FleetDirectory.make(directory, "local")
        self.operator = self.issue(Holder.client("operator", Right.OPERATE))

    def board(self, name: str) -> Path:
        """A board's credentials; a second call gives the first one's."""
        directory = self._directory / name
        return directory if directory.exists() else self.issue(Holder.board(name, _HOSTS))

    def issue(self, holder: Holder, days: int = LEAF_DAYS) -> Path:
        """The credentials of anybody, for so many days."""
        with FleetDirectory.opened(self._directory) as fleet:
            return fleet.issue([holder], days=days)[holder.name]


@functools.cache
def local_fleet() -> LocalFleet:
    """The one of this process, which goes with it."""
    directory = tempfile.mkdtemp(prefix="boardline-fleet-")
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    return LocalFleet(Path(directory))


class LocalBoard(LocalProcess):
    """One node service."""

    def __init__(self, name: str, store: Path, arguments: Sequence[str] = (), *, python: str = sys.executable) -> None:
        """Starts the process, with a certificate of `local_fleet` unless the arguments say otherwise; returns once it serves.

        Raises: RuntimeError: it ended before it served, with its log.
        """
        self.name = name
        command = [python, "-m", "node_service", "--listen", "127.0.0.1:0", "--store", str(store), "--name", name]
        if not {"--credentials", "--insecure"} & set(arguments):
            command += ["--credentials", str(local_fleet().board(name))]
        super().__init__(f"node service {name}", [*command, *arguments], _SERVES_ON)
        self.address = self.said[1]


def metrics_address(board: LocalBoard) -> str:
    """Where Prometheus may scrape it: host:port."""
    (found,) = _METRICS_ON.findall("".join(board.log))
    return str(found)


class LocalBoards:
    """Several node services, stopped together.

    with LocalBoards(3, store_root) as boards:
        Dispatcher(bundle, boards.named, credentials=boards.credentials)
    """

    def __init__(self, count: int, store_root: Path, arguments: Sequence[str] = ("--threads", "1")) -> None:
        self._wanted = [(f"board{i + 1}", store_root / f"board{i + 1}") for i in range(count)]
        self._arguments = arguments
        self.boards: list[LocalBoard] = []

    @property
    def addresses(self) -> list[str]:
        """host:port of each, in order."""
        return [board.address for board in self.boards]

    @property
    def credentials(self) -> Path:
        """Of who may stream through them and load."""
        return local_fleet().operator

    @property
    def named(self) -> list[Board]:
        """Each as the dispatcher takes it, with a name for tables and errors."""
        return [Board(board.name, Address.parse(board.address)) for board in self.boards]

    def __enter__(self) -> LocalBoards:
        try:
            for name, store in self._wanted:
                self.boards.append(LocalBoard(name, store, self._arguments))
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()

    def _stop(self) -> None:
        for board in self.boards:
            board.process.terminate()
        for board in self.boards:
            board.stop()

"""Node services as real processes on this machine's loopback, standing in for boards."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from dispatcher_client import Board
from transport.address import Address

_SERVES_ON = re.compile(r" serves on (\S+) with ")
_STOP_TIMEOUT_S = 10.0
_KEPT_LOG_LINES = 200


class LocalBoard:
    """One node service. Its log goes to `log`, the last lines only, so that nothing blocks on a full pipe."""

    def __init__(self, name: str, store: Path, arguments: Sequence[str] = (), *, python: str = sys.executable) -> None:
        """Starts the process; returns once it serves.

        Raises: RuntimeError: it ended before it served, with its log.
        """
        self.name = name
        self.log: deque[str] = deque(maxlen=_KEPT_LOG_LINES)
        command = [python, "-m", "node_service", "--listen", "127.0.0.1:0", "--store", str(store), "--name", name]
        # gRPC's own lines quote what peers sent, which may be no text.
        self.process = subprocess.Popen([*command, *arguments], stderr=subprocess.PIPE, text=True, errors="replace")
        self.address = self._read_address()
        self._reader = threading.Thread(target=self._read_log, daemon=True)
        self._reader.start()

    def stop(self) -> int:
        """Drains and ends the process; its exit status."""
        self.process.terminate()
        try:
            status = self.process.wait(_STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            status = self.process.wait()
        self._reader.join()
        return status

    def _read_address(self) -> str:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.log.append(line)
            if found := _SERVES_ON.search(line):
                return found.group(1)
        self.process.stderr.close()
        raise RuntimeError(f"node service {self.name} ended with {self.process.wait()}:\n{''.join(self.log)}")

    def _read_log(self) -> None:
        assert self.process.stderr is not None
        with self.process.stderr as lines:
            self.log.extend(lines)


class LocalBoards:
    """Several node services, stopped together.

    with LocalBoards(3, store_root) as boards:
        Dispatcher(bundle, boards.named)
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

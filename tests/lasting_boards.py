"""Node services that are started again where they were: at ports that the system gives to nobody else meanwhile."""

from __future__ import annotations

import contextlib
import random
import shutil
import socket
from collections.abc import Sequence
from pathlib import Path

from examples.local_boards import LocalBoard, LocalBoards

# Below those that Linux hands out for port 0 and for connections.
_PORTS = range(16_000, 32_000, 4)
_EACH = 3  # control plane, frames, metrics
_TRIES = 100


class LastingBoards(LocalBoards):
    """LocalBoards with a `restart`."""

    def __init__(self, count: int, store_root: Path, arguments: Sequence[str] = ("--threads", "1")) -> None:
        super().__init__(count, store_root, arguments)
        self._store_root = store_root

    def __enter__(self) -> LastingBoards:
        try:
            for name, store in self._wanted:
                self.boards.append(self._start(name, store, f"127.0.0.1:{_free_port()}"))
        except BaseException:
            self._stop()
            raise
        return self

    def restart(self, index: int, *, empties: bool = False) -> None:
        """Ends a board, in whatever state it is, and starts it again. Args: empties: what it had stored is gone."""
        lost = self.boards[index]
        lost.stop()
        store = self._store_root / lost.name
        if empties:
            shutil.rmtree(store, ignore_errors=True)
        self.boards[index] = self._start(lost.name, store, lost.address)

    def _start(self, name: str, store: Path, address: str) -> LocalBoard:
        return LocalBoard(name, store, ["--listen", address, *self._arguments])


def _free_port() -> int:
    for _ in range(_TRIES):
        port = random.choice(_PORTS)
        with contextlib.ExitStack() as bound, contextlib.suppress(OSError):
            for offset in range(_EACH):
                one = bound.enter_context(socket.socket())
                one.bind(("127.0.0.1", port + offset))
            return port
    raise OSError("no three free ports side by side")

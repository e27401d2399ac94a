"""How long the boards of a cluster last: as long as `with` does, whatever ends it."""

from __future__ import annotations

import atexit
from abc import ABC, abstractmethod
from types import TracebackType
from typing import TypeVar

from benchmarks.boards.interruption import ExitOnSignal, uninterrupted
from benchmarks.boards.leftovers import remove_orphans, work_directory
from benchmarks.boards.ownership import new_cluster_id
from benchmarks.boards.preflight import require_able

_C = TypeVar("_C", bound="ClusterLifetime")


class ClusterLifetime(ABC):
    """Makes a cluster when `with` begins and removes it at the end: also after an exception, Ctrl-C or SIGTERM.

    If this process is killed by SIGKILL, the next cluster removes what it left.
    """

    def __init__(self) -> None:
        self.cluster_id = new_cluster_id()
        self._is_open = False
        self._exit_on_signal = ExitOnSignal()

    @abstractmethod
    def _make(self) -> None:
        """Makes all of it, in a work directory of its own that is there."""

    @abstractmethod
    def _remove(self) -> None:
        """Ends and removes all of it, however far `_make` came; in bounded time, because nothing can interrupt it."""

    def __enter__(self: _C) -> _C:
        """Raises: CannotEmulateError, and what making it raises."""
        require_able()
        remove_orphans()
        self._is_open = True
        atexit.register(self.close)  # a signal may come between here and `with`
        self._exit_on_signal.begin()
        try:
            # Fails if somebody made one: what is in it could not be trusted.
            work_directory(self.cluster_id).mkdir(mode=0o700)
            self._make()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Ends and removes everything; a second time does nothing."""
        if not self._is_open:
            return
        with uninterrupted():
            self._remove()
            self._is_open = False
            self._exit_on_signal.end()
            atexit.unregister(self.close)

"""Follows a directory of a model's versions: when a newer one is complete, has it deployed."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType

from bundle import Bundle, BundleError
from dispatcher_client.errors import DispatcherError
from dispatcher_client.model_directory import Fingerprint, ModelDirectory, ModelVersion
from fleet.errors import BoardError
from protos.v1.manifest_pb2 import Manifest

_log = logging.getLogger(__name__)
# After a board's failure, which says nothing of the version.
_FIRST_RETRY_S, _LONGEST_RETRY_S = 5.0, 300.0


@dataclass(frozen=True)
class WatchEvent:
    """A version that was deployed, or was not.

    Attributes:
        error: why not; the version before serves on.
        is_final: it is not tried again unless its files change.
    """

    number: int
    seconds: float
    error: str = ""
    is_final: bool = True


class ModelWatch:
    """Deploys the newest version of a directory whenever that is another one: removing a version goes back.

        with Dispatcher("models/", "boards.yaml") as chain, chain.watch("models/"):
            ...

    A version that fails by itself (its sample, its inputs, its plan) is left out until its files change; one that fails
    because of a board is tried again. In a block it looks on a thread of its own; `look` looks once.
    """

    def __init__(
        self,
        directory: str | os.PathLike[str],
        deploy: Callable[[Bundle], None],
        *,
        serving: Manifest | None = None,
        every_s: float = 1.0,
        on_event: Callable[[WatchEvent], None] = lambda event: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Args: serving: the manifest of what serves already. on_event: hears of every version that is tried."""
        self._directory = ModelDirectory(directory)
        self._deploy = deploy
        self._serving = serving
        self._every_s = every_s
        self._on_event = on_event
        self._clock = clock
        self._current: Fingerprint | None = None
        self._failed: set[Fingerprint] = set()
        self._retry: tuple[Fingerprint, float, float] | None = None  # what, when, and the pause before
        self._told: dict[int, str] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self.run, name="boardline-watch", daemon=True)

    def __enter__(self) -> ModelWatch:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        self._thread.join()  # what is being deployed has deadlines

    def stop(self) -> None:
        """Looks no more."""
        self._stop.set()

    def run(self) -> None:
        """Looks again and again until `stop`."""
        while not self._stop.is_set():
            try:
                self.look()
            except Exception:  # a defect in one look must not end the service's updates
                _log.exception("a defect in watching %s", self._directory.path)
            self._stop.wait(self._every_s)

    def look(self) -> None:
        """Deploys what is newest, unless that serves."""
        newest = self._directory.newest(self._failed)
        self._tell_incomplete()
        if newest is None or newest.fingerprint == self._current or self._must_wait(newest):
            return
        if newest.bundle.manifest == self._serving:
            self._current, self._serving = newest.fingerprint, None
            return
        self._try(newest)

    def _must_wait(self, version: ModelVersion) -> bool:
        return self._retry is not None and self._retry[0] == version.fingerprint and self._clock() < self._retry[1]

    def _try(self, version: ModelVersion) -> None:
        begun_s = self._clock()
        try:
            self._deploy(version.bundle)
        except BoardError as error:
            pause_s = _FIRST_RETRY_S
            if self._retry is not None and self._retry[0] == version.fingerprint:
                pause_s = min(2 * self._retry[2], _LONGEST_RETRY_S)
            self._retry = version.fingerprint, self._clock() + pause_s, pause_s
            event = WatchEvent(version.number, self._clock() - begun_s, str(error), is_final=False)
        except (DispatcherError, BundleError) as error:
            self._failed.add(version.fingerprint)
            event = WatchEvent(version.number, self._clock() - begun_s, str(error))
        else:
            self._current, self._serving, self._retry = version.fingerprint, None, None
            event = WatchEvent(version.number, self._clock() - begun_s)
        if event.error:
            _log.warning("version %d was not deployed: %s", event.number, event.error)
        self._on_event(event)

    def _tell_incomplete(self) -> None:
        incomplete = self._directory.incomplete
        for number, lacks in incomplete.items():
            if self._told.get(number) != lacks:
                _log.info("version %d is not complete: %s", number, lacks)
        self._told = incomplete

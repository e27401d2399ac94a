"""What is loaded and serves frames: how many, for whom, and whether a run stands still. One thread computes at a time."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

from bundle.partition_files import partition_sha256
from node_service.errors import NotLoadedError, StalledError
from node_service.run_watch import RunWatch
from protos.v1.control_plane_pb2 import LoadedStage, LoadStageRequest

_Self = TypeVar("_Self", bound="Stage")


@dataclass
class Stage:
    """A stage in service. Streams share it; their frames take turns.

    Attributes:
        watches: of its files.
        need_bytes: memory that it takes at the least; 0 if nobody has looked.
        delegate: what computes it, as in `RuntimeIdentity`; "" for the runtime alone.
    """

    request: LoadStageRequest
    partition_bytes: int
    watches: tuple[RunWatch, ...]
    threads: int = 1
    frames: int = 0
    failed_frames: int = 0
    streams: int = 0
    need_bytes: int = 0
    delegate: str = ""

    def __post_init__(self) -> None:
        self._is_closed = False
        self._computing = threading.Lock()
        self._counting = threading.Lock()

    @property
    def stage_index(self) -> int:
        """Its place in the deployment's chain."""
        return self.request.stage_index

    @contextmanager
    def in_stream(self: _Self) -> Iterator[_Self]:
        """The stage while a stream is open to it."""
        with self._counting:
            self.streams += 1
        try:
            yield self
        finally:
            with self._counting:
                self.streams -= 1

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Nobody else computes meanwhile; no wait for another board may be in it. Raises: NotLoadedError: unloaded meanwhile."""
        with self._computing:
            if self._is_closed:
                raise NotLoadedError(f"stage {self.request.stage_index} of {self.request.deployment_id} was unloaded.")
            yield

    def count_frame(self, *, failed: bool = False) -> None:
        """Takes a frame into account, as answered or as failed."""
        with self._counting:
            if failed:
                self.failed_frames += 1
            else:
                self.frames += 1

    def excuse(self, since_s: float, until_s: float) -> None:
        """Counts the time in which the whole process stood still out of the run that is in work; once, whoever tells."""
        for watch in self.watches:
            watch.excuse(since_s, until_s)

    def standstill(self) -> StalledError | None:
        """What to say if a run takes several times longer than any before it; None while all is well."""
        for watch in self.watches:
            found = watch.standstill()
            if found:
                return StalledError(
                    f"stage {self.stage_index} stands still: {found}. Look at the board's load, swap and temperature, or restart "
                    "its node service."
                )
        return None

    def announce_silence(self, seconds: float) -> None:
        """Nobody but a stream's neighbours must know."""

    def abort(self) -> None:
        """A run is not interrupted."""

    def close(self) -> None:
        """Frames that come later are refused; one in work is finished."""
        self._is_closed = True

    def describe(self) -> LoadedStage:
        """The stage for the control plane."""
        return LoadedStage(
            deployment_id=self.request.deployment_id,
            stage_index=self.request.stage_index,
            partition_sha256=partition_sha256(self.request.partition),
            partition_bytes=self.partition_bytes,
            frames=self.frames,
            failed_frames=self.failed_frames,
            streams=self.streams,
            delegate=self.delegate,
        )

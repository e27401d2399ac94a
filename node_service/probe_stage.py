"""Stages that compute nothing and send bytes, so that a client can load the link behind a board."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from node_service.errors import BadRequestError, RefusedError, StalledError
from node_service.frame_work import FrameWork
from protos.v1.data_plane_pb2 import Codec, Hop, TensorHeader
from protos.v1.tensor_pb2 import DType
from transport.frame import EncodedTensor

_SEED = 20


class ProbeStage:
    """Answers each frame, whatever is in it, with the same bytes, which no codec makes smaller."""

    def __init__(self, hop: Hop) -> None:
        self.stage_index = hop.stage_index
        self.leaving_dtypes = (np.dtype(np.uint8),)
        self.threads = 0
        self.most_message_bytes = None
        self.frames = 0
        header = TensorHeader(dtype=DType.UINT8, shape=[hop.probe_bytes], codec=Codec.RAW)
        self._leaving = EncodedTensor(header, np.random.default_rng(_SEED).bytes(hop.probe_bytes))

    def standstill(self) -> StalledError | None:
        """Never: nothing is computed."""
        return None

    def announce_silence(self, seconds: float) -> None:
        """Concerns nobody else."""

    def abort(self) -> None:
        """It never takes long."""

    def excuse(self, since_s: float, until_s: float) -> None:
        """Changes nothing."""

    def process(self, _arriving: list[EncodedTensor], arrived_ns: int) -> FrameWork:
        """The bytes, as they are: the stream's codec would not shrink them."""
        self.frames += 1
        return FrameWork([self._leaving], wait_ns=time.perf_counter_ns() - arrived_ns)


class Probes:
    """The probes that are open on this board. Together they hold no more than one frame may."""

    def __init__(self, board: str, max_frame_bytes: int) -> None:
        self._board = board
        self._max_frame_bytes = max_frame_bytes
        self._lock = threading.Lock()
        self._held_bytes = 0
        self._open: list[ProbeStage] = []
        self._ended_frames = 0

    @property
    def frames(self) -> int:
        """Frames answered since the start; never falls."""
        with self._lock:
            return self._ended_frames + sum(stage.frames for stage in self._open)

    @contextmanager
    def open(self, hop: Hop) -> Iterator[ProbeStage]:
        """A probe for one stream.

        Raises: BadRequestError: larger than a frame may be. RefusedError: other probes hold the memory.
        """
        if hop.probe_bytes > self._max_frame_bytes:
            raise BadRequestError(
                f"a probe of {hop.probe_bytes} bytes was asked for; frames of board {self._board} hold up to "
                f"{self._max_frame_bytes}."
            )
        with self._lock:
            if self._held_bytes + hop.probe_bytes > self._max_frame_bytes:
                raise RefusedError(
                    f"probes of {self._held_bytes} bytes are open on board {self._board}, {hop.probe_bytes} more are too "
                    "many. Wait until they end."
                )
            self._held_bytes += hop.probe_bytes
        try:
            stage = ProbeStage(hop)
            self._open.append(stage)
            try:
                yield stage
            finally:
                with self._lock:
                    self._open.remove(stage)
                    self._ended_frames += stage.frames
        finally:
            with self._lock:
                self._held_bytes -= hop.probe_bytes

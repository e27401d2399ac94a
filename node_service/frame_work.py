"""What a stream asks of the stage that it runs through, be it a partition or a probe."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, Union

import numpy as np

from node_service.errors import StalledError
from protos.v1.data_plane_pb2 import StageTiming
from transport.frame import EncodedTensor
from transport.tensor_spec import Array


@dataclass
class FrameWork:
    """What happened to one frame in a stage: what leaves, and the times in nanoseconds.

    Attributes:
        leaving: arrays that were computed here, and tensors that leave as they came.
        invoke_cpu_ns: processor time inside the runtime's invoke.
        pieces_sent_bytes, pieces_received_bytes, pieces_wait_ns: to and from other boards of a group, and waiting for them.
        other_timings: of those boards, in order.
    """

    leaving: list[Union[Array, EncodedTensor]]
    wait_ns: int
    decode_ns: int = 0
    compute_ns: int = 0
    invoke_cpu_ns: int = 0
    pieces_sent_bytes: int = 0
    pieces_received_bytes: int = 0
    pieces_wait_ns: int = 0
    other_timings: Sequence[StageTiming] = ()


class StageOverError(Exception):
    """The stage can compute no frame any more, for the reason `cause`, which ends the stream."""

    def __init__(self, cause: Exception) -> None:
        super().__init__(str(cause))
        self.cause = cause


class FrameStage(Protocol):
    """Works on frames, of one stream or of several that take turns."""

    @property
    def stage_index(self) -> int:
        """Its place in the chain."""

    @property
    def leaving_dtypes(self) -> Sequence[np.dtype[Any]]:
        """Of the tensors that leave, in order."""

    @property
    def threads(self) -> int:
        """Cores that it computes on."""

    @property
    def most_message_bytes(self) -> int | None:
        """The largest message that makes sense to it; None: as large as the board takes."""

    def standstill(self) -> StalledError | None:
        """What to say if a frame has been in work for far longer than frames take; None while all is well. For any thread."""

    def announce_silence(self, seconds: float) -> None:
        """This board may answer nothing for so long; 0: that it is over. For whoever beside the stream's neighbours must know."""

    def abort(self) -> None:
        """Nobody waits for the frame in work, if there is one: it ends soon, in whatever way."""

    def excuse(self, since_s: float, until_s: float) -> None:
        """The whole process stood still in that time, by time.perf_counter; of several who say so, one counts. For one thread."""

    def process(self, arriving: list[EncodedTensor], arrived_ns: int) -> FrameWork:
        """Works on one frame, which came at `arrived_ns` by time.perf_counter_ns, on the calling thread."""

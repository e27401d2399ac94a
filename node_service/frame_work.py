"""What a stream asks of the stage that it runs through, be it a partition or a probe."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from protos.v1.data_plane_pb2 import Codec
from transport.frame import EncodedTensor


@dataclass
class FrameWork:
    """What happened to one frame in a stage: the tensors that leave, and the times in nanoseconds."""

    leaving: list[EncodedTensor]
    wait_ns: int
    decode_ns: int
    compute_ns: int
    encode_ns: int


class FrameStage(Protocol):
    """Works on frames, of one stream or of several that take turns."""

    @property
    def stage_index(self) -> int:
        """Its place in the chain."""

    async def process(self, arriving: list[EncodedTensor], arrived_ns: int, codec: Codec) -> FrameWork:
        """Works on one frame, which came at `arrived_ns` by time.perf_counter_ns; what is computed leaves in `codec`."""

"""A share of a group's stage that this board has loaded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from bundle.partition_files import partition_bytes
from bundle.shares import ShareProgram
from bundle.shares.program import Watched
from node_service.crossing import Crossing
from node_service.run_watch import RunWatch
from node_service.stage import Stage
from protos.v1.control_plane_pb2 import LoadStageRequest
from runtime import TfliteRuntime
from transport.channel import HEADER_ROOM_BYTES
from transport.frame import ALIGNMENT_BYTES


class ShareStage(Stage):
    """What one board of a group does.

    Attributes: crossing: what arrives at the group and leaves it; used on its leader.
    """

    def __init__(
        self,
        request: LoadStageRequest,
        program: ShareProgram,
        watches: Sequence[RunWatch],
        threads: int,
        max_frame_bytes: int | None = None,
    ) -> None:
        """Raises: ShareError: it reads what it does not have. BadRequestError."""
        super().__init__(request, partition_bytes(request.partition), tuple(watches), threads)
        self.program = program
        self.crossing = Crossing(request.partition, max_frame_bytes)
        self.arriving = program.places(request.partition.inputs) if self.member == 0 else []
        self.leaving = program.places(request.partition.outputs) if self.member == 0 else []
        program.require_sound(self.arriving, self.leaving)

    @classmethod
    def load(
        cls,
        runtime: TfliteRuntime,
        files: Mapping[str, Path],
        request: LoadStageRequest,
        threads: int,
        max_frame_bytes: int | None = None,
    ) -> ShareStage:
        """Loads stored strips. Args: files: by hash. Raises: as `ShareProgram`."""
        watches: list[RunWatch] = []

        def watch() -> Watched:
            watches.append(RunWatch())
            return watches[-1].run

        program = ShareProgram(request.partition.share, files, runtime, threads, watch)
        return cls(request, program, watches, threads, max_frame_bytes)

    def require_open(self) -> None:
        """Raises NotLoadedError: unloaded meanwhile."""
        with self.turn():
            pass

    @property
    def member(self) -> int:
        """This board's place in the group; 0 is the leader."""
        return self.request.partition.share.member

    @property
    def members(self) -> int:
        """Boards in the group."""
        return self.request.partition.share.members

    @property
    def most_piece_bytes(self) -> int:
        """The largest message that another board of the group sends."""
        sizes = (sum(p.n_bytes + ALIGNMENT_BYTES for p in places) for _, places in self.program.expected.values())
        return HEADER_ROOM_BYTES + max(sizes, default=0)

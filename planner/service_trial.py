"""Stages in service for a moment: on their boards, with real frames through all of them, and gone again whatever happens."""

from __future__ import annotations

import itertools
import secrets
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass

from bundle.partition_files import partition_files
from bundle.partition_message import partition_message
from fleet.board_control import BoardControl
from fleet.errors import BoardError
from fleet.inventory import Board
from fleet.together import together
from partitioning import Graph
from partitioning.boundaries import partition_between
from planner.board_profiles import ProfileSettings
from planner.exchange import ExchangeBudget, SteadyState, exchange
from planner.model import Segment
from protos.v1.control_plane_pb2 import LoadStageRequest
from protos.v1.data_plane_pb2 import Hop, OpenStream
from protos.v1.manifest_pb2 import ModelFile, Partition
from protos.v1.tensor_pb2 import TensorSpec
from runtime import Port
from runtime.random_inputs import random_inputs
from transport.frame import EncodedTensor
from transport.tensor_codec import encode_tensor
from transport.tensor_spec import numpy_dtype

_FRAMES = 2000


@dataclass(frozen=True)
class ServedStage:
    """A stage, and who serves it.

    Attributes:
        boards: a group's leader first.
        partitions: what each of them loads.
        read: the bytes of a partition's file, by its hash.
    """

    boards: tuple[Board, ...]
    partitions: tuple[Partition, ...]
    read: Callable[[str], bytes]

    @classmethod
    def of_segment(cls, graph: Graph, segment: Segment, board: Board) -> ServedStage:
        """Consecutive operators on one board."""
        spec = partition_between(graph, *segment.ops)
        file = ModelFile(path=f"{segment.sha256}.tflite", sha256=segment.sha256, size_bytes=len(segment.data))
        return cls((board,), (partition_message(graph, spec, file),), lambda _sha256: segment.data)


async def serve_for_a_moment(
    stages: Sequence[ServedStage], runtime_floor: str, window: int, settings: ProfileSettings
) -> SteadyState:
    """What a frame costs with all stages in service, `window` of them in flight.

    The files stay stored on their boards: if the plan is carried out, they need not be uploaded again.
    Raises: BoardError: a board cannot load its stage, or breaks. ProbeError: no replies in time. Nothing stays loaded.
    """
    # Two clients may try the same partitions at once: each unloads its own only.
    deployment_id = f"trial-{secrets.token_hex(8)}"
    indices = itertools.count()
    hops, loads = [], []
    for stage in stages:
        parts = list(zip(stage.boards, stage.partitions, indices))
        leader, *others = (_hop(board, index) for board, _, index in parts)
        leader.others.extend(others)
        hops.append(leader)
        for board, partition, index in parts:
            request = LoadStageRequest(
                deployment_id=deployment_id,
                stage_index=index,
                partition=partition,
                runtime_floor=runtime_floor,
                threads=board.threads or 0,
                delegate=board.delegate or "",
            )
            loads.append((board, request, stage.read))
    async with AsyncExitStack() as served:
        await together(served.enter_async_context(_served(*load, settings)) for load in loads)
        return await exchange(
            [stage.boards[0] for stage in stages],
            OpenStream(deployment_id=deployment_id, hops=hops),
            _frame(list(stages[0].partitions[0].arriving)),
            window,
            credentials=settings.credentials,
            budget=ExchangeBudget(settings.budget_s, _FRAMES, settings.timeout_s),
        )


@asynccontextmanager
async def _served(
    board: Board, request: LoadStageRequest, read: Callable[[str], bytes], settings: ProfileSettings
) -> AsyncIterator[None]:
    """Has a stage loaded for as long as the block runs: a load that is cancelled half-way may be finished by the board."""
    files = {file.sha256: file for file in partition_files(request.partition)}
    async with BoardControl(board, credentials=settings.credentials, timeout_s=settings.timeout_s) as control:
        for sha256 in await control.find_missing(list(files)):
            await control.upload(files[sha256], read(sha256))
        try:
            await control.load(request)
            yield
        except BaseException:
            with suppress(BoardError):  # what went wrong first says more
                await control.unload(request.deployment_id)
            raise
        await control.unload(request.deployment_id)


def _hop(board: Board, stage_index: int) -> Hop:
    return Hop(
        board=board.name,
        address=str(board.address),
        stage_index=stage_index,
        certificate_name=board.certificate_name,
    )


def _frame(arriving: Sequence[TensorSpec]) -> list[EncodedTensor]:
    ports = tuple(Port(spec.name, numpy_dtype(spec.dtype), tuple(spec.shape)) for spec in arriving)
    return [encode_tensor(array) for array in random_inputs(ports)]

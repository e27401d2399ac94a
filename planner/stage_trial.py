"""A chosen stage in service for a moment: real frames over the data plane, and the processor time that each takes in all.

A partition's run and the moving of frames, each measured alone, do not add up to a stage: threads hand over to one another,
and frames push the weights out of the caches. On a board without a core to spare that decides its rate.
"""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from bundle.partition_message import partition_message
from fleet.board_control import BoardControl
from fleet.errors import BoardError
from partitioning.boundaries import partition_between
from planner.board_profiles import BoardRecord, ProfileSettings
from planner.exchange import ExchangeBudget, exchange
from planner.model import PlannerModel, Range
from protos.v1.control_plane_pb2 import LoadStageRequest
from protos.v1.data_plane_pb2 import Hop, OpenStream
from protos.v1.manifest_pb2 import ModelFile
from protos.v1.tensor_pb2 import TensorSpec
from runtime import Port
from runtime.random_inputs import random_inputs
from transport.frame import EncodedTensor
from transport.tensor_codec import encode_tensor
from transport.tensor_spec import numpy_dtype

# As the dispatcher has it: one frame computing, one waiting, and one on its way.
_WINDOW = 3
_FRAMES = 2000


async def try_stage(model: PlannerModel, ops: Range, record: BoardRecord, settings: ProfileSettings) -> float:
    """Processor seconds per frame of the board's service with this partition in service.

    The partition stays stored on the board: if the plan is carried out, it need not be uploaded again.
    Raises: BoardError: the board cannot load it, or breaks. ProbeError: no replies in time.
    """
    spec = partition_between(model.graph, *ops)
    segment = model.segment(ops)
    file = ModelFile(path=f"{segment.sha256}.tflite", sha256=segment.sha256, size_bytes=len(segment.data))
    partition = partition_message(model.graph, spec, file)
    # Two clients may try the same partition at once: each unloads its own only.
    deployment_id = f"trial-{segment.sha256[:12]}-{secrets.token_hex(4)}"
    board = record.board
    async with BoardControl(board, insecure=settings.insecure, timeout_s=settings.timeout_s) as control:
        if await control.find_missing([segment.sha256]):
            await control.upload(file, segment.data)
        request = LoadStageRequest(
            deployment_id=deployment_id,
            partition=partition,
            runtime_floor=model.runtime_floor,
            threads=board.threads or 0,
        )
        async with _loaded(control, request):
            found = await exchange(
                [board],
                OpenStream(deployment_id=deployment_id, hops=[Hop(board=board.name, address=str(board.address))]),
                _frame(list(partition.arriving)),
                _WINDOW,
                insecure=settings.insecure,
                budget=ExchangeBudget(settings.budget_s, _FRAMES, settings.timeout_s),
            )
    return found.cpu_s[0]


@asynccontextmanager
async def _loaded(control: BoardControl, request: LoadStageRequest) -> AsyncIterator[None]:
    """Has a stage loaded for as long as the block runs: a load that is cancelled half-way may be finished by the board."""
    try:
        await control.load(request)
        yield
    except BaseException:
        with suppress(BoardError):  # what went wrong first says more
            await control.unload(request.deployment_id)
        raise
    await control.unload(request.deployment_id)


def _frame(arriving: list[TensorSpec]) -> list[EncodedTensor]:
    ports = tuple(Port(spec.name, numpy_dtype(spec.dtype), tuple(spec.shape)) for spec in arriving)
    return [encode_tensor(array) for array in random_inputs(ports)]

"""A planned chain in service for a moment: real frames through all its boards, and the processor time each stage takes in all.

A partition's run and the moving of frames, each measured alone, do not add up to a stage: threads hand over to one another,
frames push weights out of the caches, answers of the boards behind pass through. On a board without a core to spare that
decides its rate. All stages are tried in one run, so what disturbs one disturbs the others, and their balance holds.
"""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress

from bundle.partition_message import partition_message
from fleet.board_control import BoardControl
from fleet.errors import BoardError
from fleet.inventory import Board
from fleet.together import together
from partitioning.boundaries import partition_between
from partitioning.planning import Chain
from planner.board_profiles import BoardRecord, ProfileSettings, ServiceCost
from planner.exchange import ExchangeBudget, exchange
from planner.model import PlannerModel, Range
from protos.v1.control_plane_pb2 import LoadStageRequest
from protos.v1.data_plane_pb2 import Hop, OpenStream
from protos.v1.manifest_pb2 import ModelFile, Partition
from protos.v1.tensor_pb2 import TensorSpec
from runtime import Port
from runtime.random_inputs import random_inputs
from transport.frame import EncodedTensor
from transport.tensor_codec import encode_tensor
from transport.tensor_spec import numpy_dtype

# Beyond one frame in each stage, so that the slowest one always has work.
_MORE_IN_FLIGHT = 2
_FRAMES = 2000

# Board, and the operators that it gets.
TriedStage = tuple[str, Range]


def stages_of(model: PlannerModel, names: Sequence[str], chain: Chain) -> list[TriedStage]:
    """A planned chain's stages, in order. Args: names: of the boards, by their index in the chain."""
    ranges = zip(chain.positions[:-1], chain.positions[1:])
    return [
        (names[board], (model.positions[start], model.positions[stop]))
        for board, (start, stop) in zip(chain.boards, ranges)
    ]


async def try_chains(
    model: PlannerModel,
    chains: Sequence[Sequence[TriedStage]],
    records: Mapping[str, BoardRecord],
    settings: ProfileSettings,
) -> None:
    """Adds to the boards' records what each stage costs in service; all chains run at once.

    Raises: BoardError, ProbeError; nothing stays loaded then.
    """
    found = await together(try_chain(model, stages, records, settings) for stages in chains)
    for stages, costs in zip(chains, found):
        for (name, ops), cost in zip(stages, costs):
            records[name].in_service.setdefault(ops, []).append(cost)


async def try_chain(
    model: PlannerModel, stages: Sequence[TriedStage], records: Mapping[str, BoardRecord], settings: ProfileSettings
) -> list[ServiceCost]:
    """What each stage costs a frame with the chain in service, in order.

    The partitions stay stored on their boards: if the plan is carried out, they need not be uploaded again.
    Raises: BoardError: a board cannot load its stage, or breaks. ProbeError: no replies in time.
    """
    # Two clients may try the same partitions at once: each unloads its own only.
    deployment_id = f"trial-{secrets.token_hex(8)}"
    boards = [records[name].board for name, _ in stages]
    partitions = [_partition(model, ops) for _, ops in stages]
    async with AsyncExitStack() as served:
        await together(
            served.enter_async_context(_served(board, model, ops, partition, deployment_id, index, settings))
            for index, (board, (_, ops), partition) in enumerate(zip(boards, stages, partitions))
        )
        hops = [
            Hop(board=b.name, address=str(b.address), stage_index=i, certificate_name=b.certificate_name)
            for i, b in enumerate(boards)
        ]
        found = await exchange(
            boards,
            OpenStream(deployment_id=deployment_id, hops=hops),
            _frame(list(partitions[0].arriving)),
            len(boards) + _MORE_IN_FLIGHT,
            credentials=settings.credentials,
            budget=ExchangeBudget(settings.budget_s, _FRAMES, settings.timeout_s),
        )
    return [ServiceCost(cpu_s, invoke_s) for cpu_s, invoke_s in zip(found.cpu_s, found.invoke_cpu_s)]


def _partition(model: PlannerModel, ops: Range) -> Partition:
    segment = model.segment(ops)
    file = ModelFile(path=f"{segment.sha256}.tflite", sha256=segment.sha256, size_bytes=len(segment.data))
    return partition_message(model.graph, partition_between(model.graph, *ops), file)


@asynccontextmanager
async def _served(
    board: Board,
    model: PlannerModel,
    ops: Range,
    partition: Partition,
    deployment_id: str,
    stage_index: int,
    settings: ProfileSettings,
) -> AsyncIterator[None]:
    """Has a stage loaded for as long as the block runs: a load that is cancelled half-way may be finished by the board."""
    async with BoardControl(board, credentials=settings.credentials, timeout_s=settings.timeout_s) as control:
        if await control.find_missing([partition.file.sha256]):
            await control.upload(partition.file, model.segment(ops).data)
        request = LoadStageRequest(
            deployment_id=deployment_id,
            stage_index=stage_index,
            partition=partition,
            runtime_floor=model.runtime_floor,
            threads=board.threads or 0,
        )
        try:
            await control.load(request)
            yield
        except BaseException:
            with suppress(BoardError):  # what went wrong first says more
                await control.unload(deployment_id)
            raise
        await control.unload(deployment_id)


def _frame(arriving: list[TensorSpec]) -> list[EncodedTensor]:
    ports = tuple(Port(spec.name, numpy_dtype(spec.dtype), tuple(spec.shape)) for spec in arriving)
    return [encode_tensor(array) for array in random_inputs(ports)]

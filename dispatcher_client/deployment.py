"""Puts a bundle on boards: checks each board, uploads what it lacks, loads its stages."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bundle import Bundle
from dispatcher_client.board_control import BoardControl
from dispatcher_client.boards import Board
from dispatcher_client.errors import BoardRefusedError, PlacementError
from protos.v1.control_plane_pb2 import Description, LoadStageRequest
from protos.v1.manifest_pb2 import Partition
from transport.boundary import boundary_bytes

OnUpload = Callable[[str, int, int], None]


@dataclass(frozen=True)
class StagePlacement:
    """Which board serves which partition."""

    stage_index: int
    board: Board


@dataclass(frozen=True)
class DeployedStage:
    """A stage in service: where, on what, and how much had to be uploaded (0 if the board had it)."""

    placement: StagePlacement
    description: Description
    uploaded_bytes: int


def place_in_order(bundle: Bundle, boards: Sequence[Board]) -> list[StagePlacement]:
    """Partition k on board k; further boards are not used. Raises: PlacementError: fewer boards than partitions."""
    n_partitions = len(bundle.manifest.partitions)
    if len(boards) < n_partitions:
        raise PlacementError(
            f"{bundle.path} has {n_partitions} partitions and there are {len(boards)} boards. Add boards, name one twice "
            f"to hold several partitions, or split with --parts {len(boards)}."
        )
    return [StagePlacement(index, board) for index, board in enumerate(boards[:n_partitions])]


async def deploy(
    bundle: Bundle,
    placements: Sequence[StagePlacement],
    *,
    insecure: bool,
    timeout_s: float,
    on_upload: OnUpload = lambda board, sent_bytes, total_bytes: None,
) -> list[DeployedStage]:
    """Loads every stage on its board, all boards at once; what is there already costs one question.

    Args:
        on_upload: hears (board name, bytes sent so far, bytes in all) of an upload.
    Raises: BoardError: the first board that cannot be reached or refuses. BundleError: a damaged bundle.
    """
    for partition in bundle.manifest.partitions:
        bundle.file_path(partition.file)  # before any board is touched: a damaged file must not be half deployed
    tasks = [asyncio.ensure_future(_deploy_stage(bundle, p, insecure, timeout_s, on_upload)) for p in placements]
    try:
        return list(await asyncio.gather(*tasks))
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _deploy_stage(
    bundle: Bundle, placement: StagePlacement, insecure: bool, timeout_s: float, on_upload: OnUpload
) -> DeployedStage:
    partition = bundle.manifest.partitions[placement.stage_index]
    async with BoardControl(placement.board, insecure=insecure, timeout_s=timeout_s) as control:
        _require_room(placement, await control.describe(), partition)
        uploaded_bytes = 0
        if await control.find_missing([partition.file.sha256]):

            def count(chunk_bytes: int) -> None:
                nonlocal uploaded_bytes
                uploaded_bytes += chunk_bytes
                on_upload(placement.board.name, uploaded_bytes, partition.file.size_bytes)

            await control.upload(partition.file, bundle.file_path(partition.file), count)
        request = LoadStageRequest(
            deployment_id=bundle.deployment_id,
            stage_index=placement.stage_index,
            partition=partition,
            runtime_floor=bundle.manifest.runtime_floor,
        )
        request.partition.file.ClearField("time_s")  # a time measured anew makes no other stage: nothing to load again
        await control.load(request)
        return DeployedStage(placement, await control.describe(), uploaded_bytes)


def _require_room(placement: StagePlacement, description: Description, partition: Partition) -> None:
    """Raises BoardRefusedError if frames of this stage are larger than the board takes."""
    largest_bytes = max(boundary_bytes(partition.arriving), boundary_bytes(partition.leaving))
    if largest_bytes > description.max_frame_bytes:
        raise BoardRefusedError(
            placement.board.name,
            f"stage {placement.stage_index} has frames of {largest_bytes} bytes, the board takes {description.max_frame_bytes}. "
            "Start its node service with a larger --max-frame-mib, or cut the model elsewhere.",
        )

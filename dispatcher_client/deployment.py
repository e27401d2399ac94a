"""Puts a bundle on boards: checks each board, uploads what it lacks, loads its stages."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bundle import Bundle, BundleSplitting
from bundle.partition_files import as_loaded, partition_files, partition_sha256
from dispatcher_client.placement import ChainPlacement, StagePlacement
from fleet.board_control import BoardControl
from fleet.errors import BoardForbiddenError, BoardRefusedError
from fleet.together import together
from protos.v1.control_plane_pb2 import Description, LoadStageRequest
from protos.v1.manifest_pb2 import Partition, RuntimeIdentity
from transport.boundary import boundary_bytes
from transport.credentials import Credentials

OnUpload = Callable[[str, int, int], None]


@dataclass(frozen=True)
class DeployedStage:
    """A stage in service: where, on what, how much had to be uploaded (0 if the board had it), and what computes it."""

    placement: StagePlacement
    description: Description
    uploaded_bytes: int
    runtime: RuntimeIdentity


async def deploy(
    bundle: Bundle,
    chains: Sequence[ChainPlacement],
    *,
    credentials: Credentials | None,
    timeout_s: float,
    on_upload: OnUpload = lambda board, sent_bytes, total_bytes: None,
) -> list[DeployedStage]:
    """Loads every stage of every chain on its board, all boards at once; what is there already costs one question.

    Args:
        on_upload: hears (board name, bytes sent so far, bytes in all) of an upload.
    Returns: the stages, chain by chain.
    Raises: BoardError: the first board that cannot be reached or refuses. BundleError: a damaged bundle.
    """
    for chain in chains:
        for file in chain.splitting.files:
            bundle.file_path(file)  # before any board is touched: a damaged file must not be half deployed
    return await together(
        _deploy_stage(bundle, chain.splitting, stage, credentials, timeout_s, on_upload)
        for chain in chains
        for stage in chain.stages
    )


async def deploy_stages(
    bundle: Bundle,
    splitting: BundleSplitting,
    stages: Sequence[StagePlacement],
    *,
    credentials: Credentials | None,
    timeout_s: float,
) -> list[DeployedStage]:
    """Loads some stages of a chain on their boards, as `deploy` does."""
    return await together(
        _deploy_stage(bundle, splitting, stage, credentials, timeout_s, lambda board, sent_bytes, total_bytes: None)
        for stage in stages
    )


async def _deploy_stage(
    bundle: Bundle,
    splitting: BundleSplitting,
    placement: StagePlacement,
    credentials: Credentials | None,
    timeout_s: float,
    on_upload: OnUpload,
) -> DeployedStage:
    partition = splitting.partitions[placement.stage_index]
    async with BoardControl(placement.board, credentials=credentials, timeout_s=timeout_s) as control:
        described = await control.describe()
        _require_ready(placement, described, partition)
        request = LoadStageRequest(
            deployment_id=splitting.deployment_id,
            stage_index=placement.stage_index,
            partition=as_loaded(partition),  # measured anew it makes no other stage: nothing to load again
            runtime_floor=bundle.manifest.runtime_floor,
            threads=placement.board.threads or 0,
            delegate=placement.board.delegate or "",
        )
        if bundle.signature:
            request.manifest, request.manifest_signature = bundle.manifest_bytes, bundle.signature
        try:
            uploaded_bytes = await _store(control, bundle, partition, on_upload)
            await control.load(request)
        except BoardForbiddenError:  # who may only stream uses what an operator has loaded
            if not _holds(described, request):
                raise
            return DeployedStage(placement, described, 0, _runtime(described, request))
        described = await control.describe()
        return DeployedStage(placement, described, uploaded_bytes, _runtime(described, request))


def _runtime(description: Description, request: LoadStageRequest) -> RuntimeIdentity:
    """The board's, with the delegate that the stage was loaded with."""
    identity = RuntimeIdentity()
    identity.CopyFrom(description.runtime)
    place = request.deployment_id, request.stage_index
    identity.delegate = next((s.delegate for s in description.stages if (s.deployment_id, s.stage_index) == place), "")
    return identity


def _holds(description: Description, request: LoadStageRequest) -> bool:
    wanted = request.deployment_id, request.stage_index, partition_sha256(request.partition)
    return wanted in {(s.deployment_id, s.stage_index, s.partition_sha256) for s in description.stages}


async def store(
    bundle: Bundle,
    chains: Sequence[ChainPlacement],
    *,
    credentials: Credentials | None,
    timeout_s: float,
    on_upload: OnUpload,
) -> None:
    """Uploads what boards lack and loads nothing: deploying takes less time then. Raises: BoardError, BundleError."""

    async def put(placement: StagePlacement, partition: Partition) -> None:
        async with BoardControl(placement.board, credentials=credentials, timeout_s=timeout_s) as control:
            _require_ready(placement, await control.describe(), partition)
            await _store(control, bundle, partition, on_upload)

    await together(
        put(stage, chain.splitting.partitions[stage.stage_index]) for chain in chains for stage in chain.stages
    )


async def _store(control: BoardControl, bundle: Bundle, partition: Partition, on_upload: OnUpload) -> int:
    """Uploads what the board lacks of a partition; the bytes that it took."""
    uploaded_bytes = 0
    files = {file.sha256: file for file in partition_files(partition)}
    missing = [files[sha256] for sha256 in await control.find_missing(list(files))]
    missing_bytes = sum(file.size_bytes for file in missing)

    def count(chunk_bytes: int) -> None:
        nonlocal uploaded_bytes
        uploaded_bytes += chunk_bytes
        on_upload(control.board.name, uploaded_bytes, missing_bytes)

    for file in missing:
        await control.upload(file, bundle.file_path(file), count)
    return uploaded_bytes


def _require_ready(placement: StagePlacement, description: Description, partition: Partition) -> None:
    """Raises BoardRefusedError if the board is out of service, or frames of this stage are larger than it takes."""
    if description.draining:
        name = placement.board.name
        raise BoardRefusedError(
            name,
            f"is draining, and loads nothing: it shuts down, or was taken out of service. In the second case, to have it back: "
            f"python -m dispatcher_client drain {name} --undo",
        )
    largest_bytes = max(boundary_bytes(partition.arriving), boundary_bytes(partition.leaving))
    if largest_bytes > description.max_frame_bytes:
        raise BoardRefusedError(
            placement.board.name,
            f"stage {placement.stage_index} has frames of {largest_bytes} bytes, the board takes {description.max_frame_bytes}. "
            "Start its node service with a larger --max-frame-mib, or cut the model elsewhere.",
        )

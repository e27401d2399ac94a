"""The stages that this board has loaded, remembered across restarts."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from bundle.partition_files import partition_bytes, partition_files
from node_service.errors import LimitError, NotLoadedError, is_expected
from node_service.group.share_stage import ShareStage
from node_service.partition_checks import PartitionChecks
from node_service.partition_stage import PartitionStage
from node_service.runtime_choice import choose_delegate, choose_threads, require_runtime
from node_service.signed_partitions import SignedPartitions
from node_service.stage import Stage
from node_service.store import Store, check_deployment_id
from protos.v1.control_plane_pb2 import LoadStageRequest
from runtime import TfliteRuntime

_log = logging.getLogger(__name__)
# No load is slower.
_LOAD_S, _LOAD_BYTES_PER_S = 2.0, 1e7


class Deployments:
    """Loaded stages by (deployment, stage index)."""

    def __init__(
        self,
        store: Store,
        runtime: TfliteRuntime,
        threads: int,
        silent: Callable[[float], AbstractContextManager[None]] = lambda seconds: nullcontext(),
        on_unload: Callable[[str], None] = lambda deployment_id: None,
        *,
        checks: PartitionChecks | None = None,
        signed: SignedPartitions | None = None,
        max_stages: int = 64,
        max_frame_bytes: int | None = None,
    ) -> None:
        """Args: silent: tells peers for as long as its block runs, and up to so many seconds, that this process may not answer.
        on_unload: hears of deployments that are gone. checks: of each partition before it is loaded; None: it is known to be sound.
        signed: of whom partitions must be; None: of anybody.
        max_frame_bytes: of a frame's tensors, decoded; None: any number.
        """
        self._checks = checks
        self._signed = signed
        self._max_stages = max_stages
        self._max_frame_bytes = max_frame_bytes
        self._on_unload = on_unload
        self._store = store
        self._runtime = runtime
        self._threads = threads
        self._silent = silent
        self._stages: dict[tuple[str, int], Stage] = {}
        self._loading = asyncio.Lock()  # one load at a time: two would double the peak of memory
        self._in_work: tuple[str, asyncio.Task[Stage]] | None = None  # the last load, over or not
        self._retired_frames = 0

    def __iter__(self) -> Iterator[Stage]:
        return iter(list(self._stages.values()))

    @property
    def frames(self) -> int:
        """Frames that stages have worked on since the start, unloaded stages included; never falls."""
        return self._retired_frames + sum(stage.frames + stage.failed_frames for stage in self._stages.values())

    def get(self, deployment_id: str, stage_index: int) -> Stage:
        """A loaded stage. Raises: NotLoadedError."""
        stage = self._stages.get((deployment_id, stage_index))
        if stage is None:
            raise NotLoadedError(
                f"stage {stage_index} of {deployment_id} is not loaded here. Deploy it: python -m dispatcher_client deploy."
            )
        return stage

    async def load(self, request: LoadStageRequest) -> Stage:
        """Loads a stage and remembers it; loading again what is loaded changes nothing.

        Raises: NotLoadedError: the partition is not stored. WrongVersionError: it needs a newer runtime. ModelLoadError,
            BadRequestError, ShareError: see `PartitionStage.load`, `ShareStage.load` and `choose_threads`. StoreError: it is
            damaged on the disk, or cannot be remembered. LimitError: as many stages are loaded as may be. MalformedModelError,
            OperatorRefusedError, MemoryShortError, TrialError: see `PartitionChecks`. DelegateError: the delegate cannot be loaded,
            or the board has none of that name. SignatureRefusedError: see `SignedPartitions`.
        """
        if self._signed is None and request.manifest:
            request = _unsigned(request)
        stage = await self._load(request)
        await asyncio.to_thread(self._store.save_stage, request)
        return stage

    async def unload(self, deployment_id: str) -> int:
        """Unloads and forgets all stages of a deployment; how many there were. Frames in work are finished.

        Raises: StoreError: it cannot be forgotten; it stays loaded.
        """
        check_deployment_id(deployment_id)
        if self._in_work is not None and self._in_work[0] == deployment_id:
            await asyncio.wait([self._in_work[1]])  # its client may be gone; it would be loaded after this
        keys = [key for key in self._stages if key[0] == deployment_id]
        for key in keys:
            await asyncio.to_thread(self._store.forget_stage, *key)
            stage = self._stages.pop(key, None)  # another call may have unloaded it meanwhile
            if stage is not None:
                self._retire(stage)
                _log.info("unloaded stage %d of %s", key[1], deployment_id, extra=_about(deployment_id, key[1]))
        self._on_unload(deployment_id)
        return len(keys)

    async def restore(self) -> None:
        """Loads what was loaded before the restart. What cannot be loaded is logged; the others are served."""
        for path, request in self._store.saved_stages():
            if request is None:
                _log.error("the stage file %s is damaged and is ignored; deploy its bundle again", path.name)
                continue
            try:
                await self._load(request, is_new=False)
            except Exception as error:
                if not is_expected(error):
                    raise
                _log.error(
                    "stage %d of %s cannot be loaded again: %s",
                    request.stage_index,
                    request.deployment_id,
                    error,
                    extra=_about(request.deployment_id, request.stage_index),
                )

    def close(self) -> None:
        """Ends the compute threads."""
        for stage in self._stages.values():
            stage.close()

    def _retire(self, stage: Stage) -> None:
        self._retired_frames += stage.frames + stage.failed_frames
        stage.close()

    async def _load(self, request: LoadStageRequest, *, is_new: bool = True) -> Stage:
        """Goes on if the client hangs up: a load cannot be interrupted, and until it is over it takes memory and Python's lock."""
        check_deployment_id(request.deployment_id)
        await self._loading.acquire()
        loading = asyncio.ensure_future(self._load_alone(request, is_new))
        self._in_work = (request.deployment_id, loading)
        loading.add_done_callback(_retrieve)
        return await asyncio.shield(loading)

    async def _load_alone(self, request: LoadStageRequest, is_new: bool) -> Stage:
        key = (request.deployment_id, request.stage_index)
        try:
            loaded = self._stages.get(key)
            if loaded is not None and loaded.request == request:
                return loaded
            if loaded is None and len(self._stages) >= self._max_stages:
                raise LimitError(
                    f"{len(self._stages)} stages are loaded here, which is the limit. Unload a deployment, or raise --max-stages."
                )
            if self._signed is not None:
                await asyncio.to_thread(self._signed.require_signed, request)
            require_runtime(self._runtime, request.runtime_floor)
            runtime = choose_delegate(self._runtime, request.delegate)
            paths = await asyncio.to_thread(self._intact_files, request)
            threads = choose_threads(request.threads, self._threads)
            need_bytes = 0
            if self._checks is not None:
                need_bytes = await self._checks.require_sound(paths, runtime, threads, is_new=is_new)
            # The runtime packs weights while it holds Python's lock: 0.12 s for 100 MB on a desktop, seconds on small boards.
            with self._silent(_LOAD_S + partition_bytes(request.partition) / _LOAD_BYTES_PER_S):
                stage = await asyncio.to_thread(self._load_files, paths, runtime, request, threads)
            stage.need_bytes = need_bytes
            stage.delegate = runtime.identity.delegate
            if loaded is not None:
                self._retire(loaded)
            self._stages[key] = stage
        finally:
            self._loading.release()
        about = (request.stage_index, request.deployment_id, stage.partition_bytes)
        _log.info("loaded stage %d of %s (%d bytes)", *about, extra=_about(request.deployment_id, request.stage_index))
        return stage

    def _intact_files(self, request: LoadStageRequest) -> dict[str, Path]:
        """Where the partition's files lie, by hash. Raises: NotLoadedError. StoreError: one is damaged on the disk."""
        found = {}
        for file in partition_files(request.partition):
            path = self._store.intact_partition(file.sha256)
            if path is None:
                raise NotLoadedError(f"partition {file.sha256} is not stored here; upload it first.")
            found[file.sha256] = path
        return found

    def _load_files(
        self, paths: Mapping[str, Path], runtime: TfliteRuntime, request: LoadStageRequest, threads: int
    ) -> Stage:
        if request.partition.HasField("share"):
            return ShareStage.load(runtime, paths, request, threads, self._max_frame_bytes)
        (path,) = paths.values()
        return PartitionStage.load(runtime, path, request, threads, self._max_frame_bytes)


def _about(deployment_id: str, stage_index: int) -> dict[str, object]:
    """For a log record."""
    return {"deployment": deployment_id, "stage": stage_index}


def _unsigned(request: LoadStageRequest) -> LoadStageRequest:
    """Nobody checks its signature: it is neither kept, nor does a bundle that is signed later make another stage."""
    kept = LoadStageRequest()
    kept.CopyFrom(request)
    kept.ClearField("manifest")
    kept.ClearField("manifest_signature")
    return kept


def _retrieve(loading: asyncio.Task[Stage]) -> None:
    """Nobody may be left to hear of an error, which the loop would complain of."""
    if not loading.cancelled():
        loading.exception()

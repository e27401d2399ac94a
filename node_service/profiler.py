"""Profiles of partitions on this board: receives a file, has it measured, says what to think of the figures, keeps them."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from node_service.config import NodeConfig
from node_service.errors import BadRequestError, MeasurementError, SignatureRefusedError, StoreError
from node_service.measuring_turn import MeasuringTurn
from node_service.partition_measurement import MeasurementRequest
from node_service.profile_cache import ProfileCache
from node_service.runtime_choice import choose_delegate, choose_threads, require_runtime
from node_service.store import Store, check_sha256
from node_service.thermal import ThermalSensors, ThrottleWatch
from node_service.uploads import unless_silent
from node_service.worker_process import WorkerProcess
from protos.v1.control_plane_pb2 import Profile, ProfileHeader, ProfileKey
from runtime import ComputeError, DelegateError, ModelLoadError, TfliteRuntime, TfliteRuntimeError

_log = logging.getLogger(__name__)
_MOST_BUDGET_S = 600.0
# A slow board imports the runtime, reads the file and packs its constants in this time; as much as a client waits for a load.
_LOAD_ALLOWANCE_S = 120.0
# Two runs for the memory, a warm-up and five timed runs may each take nearly the whole budget.
_RUNS_ALLOWANCE = 8
# The firmware of a Raspberry Pi forgets after two seconds that it throttled.
_LOOK_INTERVAL_S = 1.0
# The kernel's threads, a monitoring agent and this service itself take a few percent of a board.
_USUAL_WAIT_SHARE = 0.05
_KINDS = (ComputeError, DelegateError, ModelLoadError)
_WORKER_ERRORS: dict[str, type[TfliteRuntimeError]] = {kind.__name__: kind for kind in _KINDS}


class Profiler:
    """Measures one partition at a time, in a process of its own."""

    def __init__(
        self,
        config: NodeConfig,
        runtime: TfliteRuntime,
        store: Store,
        cache: ProfileCache,
        turn: MeasuringTurn,
        worker: WorkerProcess,
        sensors: ThermalSensors,
        count_frames: Callable[[], int],
    ) -> None:
        """`count_frames`: frames that the board has worked on so far."""
        self._config = config
        self._runtime = runtime
        self._store = store
        self._cache = cache
        self._turn = turn
        self._worker = worker
        self._sensors = sensors
        self._count_frames = count_frames

    async def find(self, keys: Iterable[ProfileKey]) -> list[Profile]:
        """The kept profiles among those asked for.

        Raises: BadRequestError: no SHA-256, or too many threads. DelegateError: the board has none of that name.
        """
        return await asyncio.to_thread(self._cache.find, [self._complete(key) for key in keys])

    async def profile(self, header: ProfileHeader, chunks: AsyncIterator[bytes]) -> Profile:
        """Measures the partition that `chunks` bring; keeps the profile unless it is flagged.

        Raises: BadRequestError: an impossible request, or other bytes than announced. WrongVersionError: the model needs a
            newer runtime. ModelLoadError, ComputeError: the runtime or the delegate refuses it. DelegateError: the delegate cannot
            be loaded, or the board has none of that name. MeasurementError: it crashes the runtime or takes too long.
            RefusedError: the board drains. StoreError: the disk is full. SignatureRefusedError: the board takes signed partitions
            only.
        """
        if self._config.require_signature is not None:
            raise SignatureRefusedError(
                "this board takes signed partitions only (--require-signature) and measures none. Profile the model while it runs "
                "without, or on a board of the same kind."
            )
        if not 0 < header.budget_s <= _MOST_BUDGET_S or not 0 < header.confidence < 1:
            raise BadRequestError(
                f"a budget of {header.budget_s:g} s and a confidence of {header.confidence:g} were asked for; expected up to "
                f"{_MOST_BUDGET_S:g} s, and a share between 0 and 1 as 0.02."
            )
        require_runtime(self._runtime, header.runtime_floor)
        key = self._complete(header.key)
        return await self._turn.take(lambda: self._profile(header, key, chunks))

    async def close(self) -> None:
        """Ends the process that measures."""
        await self._worker.close()

    def _complete(self, key: ProfileKey) -> ProfileKey:
        check_sha256(key.sha256)
        return ProfileKey(
            sha256=key.sha256,
            threads=choose_threads(key.threads, self._config.threads),
            delegate=choose_delegate(self._runtime, key.delegate).delegate_name,
        )

    async def _profile(self, header: ProfileHeader, key: ProfileKey, chunks: AsyncIterator[bytes]) -> Profile:
        with self._store.receive(key.sha256, header.size_bytes) as partition:
            async for chunk in unless_silent(chunks):
                partition.write(chunk)
            path = await asyncio.to_thread(partition.verified)
            profile = await self._measure(path, header, key)
        if not profile.flags:
            await asyncio.to_thread(self._keep, profile)
        return profile

    def _keep(self, profile: Profile) -> None:
        try:
            self._cache.keep(profile)
        except StoreError as error:  # the figures are good all the same
            _log.error("the profile of %s is not kept: %s", profile.key.sha256, error)

    async def _measure(self, path: Path, header: ProfileHeader, key: ProfileKey) -> Profile:
        runtime = choose_delegate(self._runtime, key.delegate)
        request = MeasurementRequest(
            str(path.resolve()),
            self._config.runtime,
            runtime.delegate_texts,
            key.threads,
            header.confidence,
            header.budget_s,
            str(self._config.sensors_root),
        )
        watch, frames = ThrottleWatch(self._sensors), self._count_frames()
        before_c = self._sensors.temperature_c()
        measured = await self._ask(request, watch)
        waited_share = measured.pop("waited_share")
        profile = Profile(
            key=key,
            board=self._config.name,
            runtime=runtime.identity,
            **measured.pop("times"),
            **measured,
            temperature_before_c=before_c,
            temperature_after_c=self._sensors.temperature_c(),
            measured_at_s=time.time(),
        )
        profile.flags.extend(_noise(profile, header.confidence, waited_share))
        profile.flags.extend(self._circumstances(watch, self._count_frames() - frames))
        return profile

    async def _ask(self, request: MeasurementRequest, watch: ThrottleWatch) -> dict[str, Any]:
        timeout_s = _LOAD_ALLOWANCE_S + _RUNS_ALLOWANCE * request.budget_s
        asking = asyncio.ensure_future(self._worker.ask(asdict(request), timeout_s))
        try:
            while not (await asyncio.wait({asking}, timeout=_LOOK_INTERVAL_S))[0]:
                watch.look()
            answer = asking.result()
        finally:
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)
        if "error" in answer:
            raise _WORKER_ERRORS.get(answer["error"], MeasurementError)(answer["message"])
        measured: dict[str, Any] = answer["measurement"]
        return measured

    def _circumstances(self, watch: ThrottleWatch, frames: int) -> Iterator[str]:
        if reasons := watch.reasons():
            yield f"throttled: {'; '.join(reasons)}"
        if hot := self._sensors.hot():
            yield hot
        if frames:
            yield f"busy: {frames} frames were computed meanwhile"


def _noise(profile: Profile, confidence: float, waited_share: float) -> Iterator[str]:
    if waited_share > max(confidence, _USUAL_WAIT_SHARE):
        yield f"busy: other programs on the board took {waited_share:.0%} of the time"
    share = profile.run_half_width_s / profile.run_s
    if share > confidence:
        yield f"noisy: the mean is known to {share:.1%} only, {confidence:.1%} was asked for ({profile.runs} runs)"

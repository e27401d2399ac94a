"""The control plane's servicer: parses a call, makes one call inwards, and replies."""

from __future__ import annotations

import asyncio
import functools
import logging
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from importlib.metadata import version
from typing import Any, TypeVar

import grpc
import grpc.aio

from node_service.codec_speeds import measure_codecs
from node_service.config import NodeConfig
from node_service.deployments import Deployments
from node_service.errors import BadRequestError, ForbiddenError, RefusedError, is_expected, to_status
from node_service.machine import cores, memory_bytes, usable_cores
from node_service.measuring_turn import MeasuringTurn
from node_service.profiler import Profiler
from node_service.store import Store
from node_service.uploads import take_the_rest, unless_silent
from node_service.vitals import Vitals
from protos.v1 import control_plane_pb2 as messages
from protos.v1 import control_plane_pb2_grpc
from runtime import TfliteRuntime
from transport.channel import PROTOCOL_VERSION, peer_identity
from transport.credentials import Right
from transport.tensor_codec import available_codecs

_log = logging.getLogger(__name__)
_T = TypeVar("_T")
_MOST_CODEC_BUDGET_S = 60.0


def _call(right: Right) -> Callable[[Callable[..., Awaitable[_T]]], Callable[..., Awaitable[_T]]]:
    """A call that needs a right. It ends with the status that the error table gives; a defect is logged and shown as INTERNAL."""

    def decorate(method: Callable[..., Awaitable[_T]]) -> Callable[..., Awaitable[_T]]:
        @functools.wraps(method)
        async def wrapped(self: Any, request: Any, call: grpc.aio.ServicerContext[Any, Any]) -> _T:
            try:
                _require_right(call, right, method.__name__)
                return await method(self, request, call)
            except Exception as error:
                if not is_expected(error):
                    _log.exception("%s failed by a defect", method.__name__)
                if isinstance(request, AsyncIterator):
                    await take_the_rest(request)
                status, text = to_status(error)
                await call.abort(status, text)
                raise AssertionError("abort does not return") from error

        return wrapped

    return decorate


def _require_right(call: grpc.aio.ServicerContext[Any, Any], right: Right, what: str) -> None:
    peer = peer_identity(call.auth_context())
    if peer is not None and right not in peer.rights:
        _log.warning("%s was refused to %r: its certificate has no right to %s", what, peer.name, right.value)
        raise ForbiddenError(
            f"the certificate of {peer.name} has no right to {right.value}, which {what} needs. Issue one with: "
            f"python -m dispatcher_client certs issue DIR {peer.name} --right {right.value}"
        )


class ControlPlane(control_plane_pb2_grpc.ControlPlaneServicer):
    """Serves `boardline.v1.ControlPlane`."""

    def __init__(
        self,
        config: NodeConfig,
        runtime: TfliteRuntime,
        store: Store,
        deployments: Deployments,
        profiler: Profiler,
        turn: MeasuringTurn,
        draining: asyncio.Event,
        set_drained: Callable[[bool], Awaitable[str]],
        vitals: Vitals,
    ) -> None:
        """Args: set_drained: takes the board out of service, or back; why a restart will not find it so."""
        self._config = config
        self._runtime = runtime
        self._store = store
        self._deployments = deployments
        self._profiler = profiler
        self._turn = turn
        self._draining = draining
        self._set_drained = set_drained
        self._vitals = vitals

    @_call(Right.STREAM)
    async def Describe(self, _request: messages.DescribeRequest, _call: Any) -> messages.Description:
        """What this board is and holds."""
        total_bytes, available_bytes = memory_bytes()
        described = messages.Description(
            protocol_version=PROTOCOL_VERSION,
            software_version=version("boardline"),
            name=self._config.name,
            runtime=self._runtime.identity,
            threads=self._config.threads,
            cores=cores(),
            memory_total_bytes=total_bytes,
            memory_available_bytes=available_bytes,
            stages=[stage.describe() for stage in self._deployments],
            draining=self._draining.is_set(),
            max_frame_bytes=self._config.max_frame_bytes,
            codecs=available_codecs(),
            usable_cores=usable_cores(),
            certificate_ends_s=0.0 if self._config.credentials is None else self._config.credentials.identity.ends_s,
        )
        self._vitals.add_to(described)
        return described

    @_call(Right.STREAM)
    async def FindMissing(self, request: messages.FindMissingRequest, _call: Any) -> messages.FindMissingReply:
        """Which partitions must be uploaded."""
        return messages.FindMissingReply(sha256=self._store.find_missing(request.sha256))

    @_call(Right.OPERATE)
    async def PutPartition(
        self, parts: AsyncIterator[messages.PutPartitionRequest], _call: Any
    ) -> messages.PutPartitionReply:
        """Stores one partition."""
        header = await _header(parts)
        with self._store.receive(header.sha256, header.size_bytes) as writer:
            async for chunk in unless_silent(part.chunk async for part in parts):
                writer.write(chunk)
            await asyncio.to_thread(writer.commit)  # a slow card must not stop the streams
        return messages.PutPartitionReply(stored_bytes=header.size_bytes)

    @_call(Right.OPERATE)
    async def LoadStage(self, request: messages.LoadStageRequest, _call: Any) -> messages.LoadStageReply:
        """Loads a stored partition as a stage."""
        if self._draining.is_set():
            raise RefusedError("is draining and loads nothing.")
        stage = await self._deployments.load(request)
        return messages.LoadStageReply(stage=stage.describe())

    @_call(Right.OPERATE)
    async def UnloadDeployment(
        self, request: messages.UnloadDeploymentRequest, _call: Any
    ) -> messages.UnloadDeploymentReply:
        """Unloads a deployment's stages."""
        unloaded = await self._deployments.unload(request.deployment_id)
        return messages.UnloadDeploymentReply(unloaded_stages=unloaded)

    @_call(Right.OPERATE)
    async def Drain(self, request: messages.DrainRequest, _call: Any) -> messages.DrainReply:
        """Takes the board out of service, or back."""
        why_not = await self._set_drained(not request.undo)
        return messages.DrainReply(kept=not why_not, why_not_kept=why_not)

    @_call(Right.STREAM)
    async def FindProfiles(self, request: messages.FindProfilesRequest, _call: Any) -> messages.FindProfilesReply:
        """The profiles that are kept here."""
        return messages.FindProfilesReply(profiles=await self._profiler.find(request.keys))

    @_call(Right.OPERATE)
    async def Profile(self, parts: AsyncIterator[messages.ProfileRequest], _call: Any) -> messages.ProfileReply:
        """Measures one partition."""
        header = await _header(parts)
        profile = await self._profiler.profile(header, (part.chunk async for part in parts))
        return messages.ProfileReply(profile=profile)

    @_call(Right.OPERATE)
    async def MeasureCodecs(self, request: messages.MeasureCodecsRequest, _call: Any) -> messages.MeasureCodecsReply:
        """How fast the codecs are."""
        if not 0 < request.budget_s <= _MOST_CODEC_BUDGET_S:
            raise BadRequestError(
                f"a budget of {request.budget_s:g} s was asked for, expected up to {_MOST_CODEC_BUDGET_S:g} s."
            )
        stop = threading.Event()
        try:
            speeds = await self._turn.take(lambda: asyncio.to_thread(measure_codecs, request.budget_s, stop))
        finally:
            stop.set()
        return messages.MeasureCodecsReply(speeds=speeds)


async def _header(parts: AsyncIterator[Any]) -> Any:
    """The header that an upload begins with."""
    async for part in parts:
        if part.HasField("header"):
            return part.header
        break
    raise BadRequestError("the first message of an upload must be its header.")

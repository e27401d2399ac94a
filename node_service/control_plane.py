"""The control plane's servicer: parses a call, makes one call inwards, and replies."""

from __future__ import annotations

import asyncio
import functools
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from importlib.metadata import version
from typing import Any, TypeVar

import grpc
import grpc.aio

from node_service.config import NodeConfig
from node_service.deployments import Deployments
from node_service.errors import BadRequestError, RefusedError, is_expected, to_status
from node_service.machine import memory_bytes, usable_cores
from node_service.store import Store
from protos.v1 import control_plane_pb2 as messages
from protos.v1 import control_plane_pb2_grpc
from runtime import TfliteRuntime
from transport.channel import PROTOCOL_VERSION
from transport.tensor_codec import available_codecs

_log = logging.getLogger(__name__)
_T = TypeVar("_T")
# The schema's own limit: a flatbuffer has 32-bit signed offsets.
_MAX_PARTITION_BYTES = 2**31


def _translating_errors(method: Callable[..., Awaitable[_T]]) -> Callable[..., Awaitable[_T]]:
    """Ends the call with the status that the error table gives; a defect is logged and shown as INTERNAL."""

    @functools.wraps(method)
    async def wrapped(self: Any, request: Any, call: grpc.aio.ServicerContext[Any, Any]) -> _T:
        try:
            return await method(self, request, call)
        except Exception as error:
            if not is_expected(error):
                _log.exception("%s failed by a defect", method.__name__)
            status, text = to_status(error)
            await call.abort(status, text)
            raise AssertionError("abort does not return") from error

    return wrapped


class ControlPlane(control_plane_pb2_grpc.ControlPlaneServicer):
    """Serves `boardline.v1.ControlPlane`."""

    def __init__(
        self,
        config: NodeConfig,
        runtime: TfliteRuntime,
        store: Store,
        deployments: Deployments,
        draining: asyncio.Event,
    ) -> None:
        self._config = config
        self._runtime = runtime
        self._store = store
        self._deployments = deployments
        self._draining = draining

    @_translating_errors
    async def Describe(self, _request: messages.DescribeRequest, _call: Any) -> messages.Description:
        """What this board is and holds."""
        total_bytes, available_bytes = memory_bytes()
        return messages.Description(
            protocol_version=PROTOCOL_VERSION,
            software_version=version("boardline"),
            name=self._config.name,
            runtime=self._runtime.identity,
            threads=self._config.threads,
            cores=usable_cores(),
            memory_total_bytes=total_bytes,
            memory_available_bytes=available_bytes,
            stages=[stage.describe() for stage in self._deployments],
            draining=self._draining.is_set(),
            max_frame_bytes=self._config.max_frame_bytes,
            codecs=available_codecs(),
        )

    @_translating_errors
    async def FindMissing(self, request: messages.FindMissingRequest, _call: Any) -> messages.FindMissingReply:
        """Which partitions must be uploaded."""
        return messages.FindMissingReply(sha256=self._store.find_missing(request.sha256))

    @_translating_errors
    async def PutPartition(
        self, parts: AsyncIterator[messages.PutPartitionRequest], _call: Any
    ) -> messages.PutPartitionReply:
        """Stores one partition."""
        header = None
        async for part in parts:
            header = part.header if part.HasField("header") else None
            break
        if header is None:
            raise BadRequestError("the first message of an upload must be its header.")
        if not 0 < header.size_bytes < _MAX_PARTITION_BYTES:
            raise BadRequestError(f"a partition has 1 to {_MAX_PARTITION_BYTES - 1} bytes, not {header.size_bytes}.")
        with self._store.receive(header.sha256, header.size_bytes) as writer:
            async for part in parts:
                writer.write(part.chunk)
            await asyncio.to_thread(writer.commit)  # a slow card must not stop the streams
        return messages.PutPartitionReply(stored_bytes=header.size_bytes)

    @_translating_errors
    async def LoadStage(self, request: messages.LoadStageRequest, _call: Any) -> messages.LoadStageReply:
        """Loads a stored partition as a stage."""
        if self._draining.is_set():
            raise RefusedError(f"board {self._config.name} is draining and loads nothing.")
        stage = await self._deployments.load(request)
        return messages.LoadStageReply(stage=stage.describe())

    @_translating_errors
    async def UnloadDeployment(
        self, request: messages.UnloadDeploymentRequest, _call: Any
    ) -> messages.UnloadDeploymentReply:
        """Unloads a deployment's stages."""
        unloaded = await self._deployments.unload(request.deployment_id)
        return messages.UnloadDeploymentReply(unloaded_stages=unloaded)

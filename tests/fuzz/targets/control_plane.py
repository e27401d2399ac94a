"""The control plane's handlers in this process, with a real store and the real runtime."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import struct
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
from google.protobuf.message import DecodeError

from node_service.config import NodeConfig
from node_service.control_plane import ControlPlane
from node_service.deployments import Deployments
from node_service.measuring_turn import MeasuringTurn
from node_service.metrics import FrameStatistics
from node_service.power import EnergyMeter
from node_service.profile_cache import Configuration, ProfileCache
from node_service.profiler import Profiler
from node_service.store import Store
from node_service.thermal import ThermalSensors
from node_service.vitals import Vitals
from node_service.worker_process import WorkerProcess
from protos.v1 import control_plane_pb2 as messages
from protos.v1.manifest_pb2 import ModelFile, Partition
from protos.v1.tensor_pb2 import DType, TensorSpec
from runtime import load_runtime
from tests.fuzz.target import Run, Target
from tests.partitioning import sample_models
from transport.address import Address

# An input: calls one after the other, each a number and its messages, each with its length before it.
_CALL = struct.Struct("<BB")
_LENGTH = struct.Struct("<H")
_CALLS = (
    ("FindMissing", messages.FindMissingRequest, False),
    ("PutPartition", messages.PutPartitionRequest, True),
    ("LoadStage", messages.LoadStageRequest, False),
    ("UnloadDeployment", messages.UnloadDeploymentRequest, False),
    ("Drain", messages.DrainRequest, False),
    ("FindProfiles", messages.FindProfilesRequest, False),
    ("Profile", messages.ProfileRequest, True),
    ("MeasureCodecs", messages.MeasureCodecsRequest, False),
    ("Describe", messages.DescribeRequest, False),
)
_NUMBERS = {name: number for number, (name, _, _) in enumerate(_CALLS)}
_MOST_CALLS, _MOST_STAGES = 8, 8
# Each codec runs once, however small the budget; and once is enough, it takes as long as a thousand other calls.
_LEAST_BUDGET_S = 1e-9


class _RefusedError(Exception):
    """The call ended with a status."""


class _Call:
    """The context of a call, of which handlers use two methods."""

    def auth_context(self) -> dict[str, list[bytes]]:
        """Of plaintext, in which every call is allowed."""
        return {}

    async def abort(self, status: grpc.StatusCode, text: str) -> None:
        """Ends the call; INTERNAL is a defect, and the handler's error is its cause."""
        assert text
        if status != grpc.StatusCode.INTERNAL:
            raise _RefusedError(text)


class _Board:
    """A control plane with all that it needs."""

    def __init__(self, directory: Path) -> None:
        self.loop = asyncio.new_event_loop()
        self.loop.run_until_complete(self._make(directory))

    async def _make(self, directory: Path) -> None:
        self._has_measured = False
        config = NodeConfig(Address("127.0.0.1", 0), directory, "fuzzed")
        runtime, self._store = load_runtime(), Store(directory)
        self._draining = asyncio.Event()
        turn = MeasuringTurn(self._draining)
        self._deployments = Deployments(self._store, runtime, config.threads)
        cache = ProfileCache(directory / "profiles", Configuration(config.name, "machine", runtime.identity))
        self._profiler = Profiler(
            config, runtime, self._store, cache, turn, WorkerProcess(), ThermalSensors(), lambda: 0
        )
        self._control = ControlPlane(
            config,
            runtime,
            self._store,
            self._deployments,
            self._profiler,
            turn,
            self._draining,
            self._set_drained,
            Vitals(FrameStatistics(), EnergyMeter([]), ThermalSensors(directory)),
        )

    async def _set_drained(self, is_drained: bool) -> str:
        (self._draining.set if is_drained else self._draining.clear)()
        return ""

    async def call(self, number: int, parts: list[bytes]) -> None:
        """One call as gRPC would make it."""
        if number >= len(_CALLS):
            return
        name, kind, is_stream = _CALLS[number]
        try:
            parsed = [kind.FromString(part) for part in parts]
        except DecodeError:
            return  # gRPC refuses it by itself
        if not is_stream:
            parsed = parsed[:1] or [kind()]
        for message in parsed:
            if isinstance(message, messages.MeasureCodecsRequest) and message.budget_s > 0:
                if self._has_measured:
                    return
                self._has_measured, message.budget_s = True, _LEAST_BUDGET_S
        request = _stream(parsed) if is_stream else parsed[0]
        try:
            reply = await getattr(self._control, name)(request, _Call())
        except _RefusedError:
            return
        reply.SerializeToString()

    async def close(self) -> None:
        """Ends its threads."""
        await self._profiler.close()
        self._deployments.close()
        self._store.close()
        await asyncio.get_running_loop().shutdown_default_executor()

    async def tidy(self) -> None:
        """Unloads stages when there are many, and undoes a drain."""
        self._draining.clear()
        loaded = {stage.request.deployment_id for stage in self._deployments}
        if len(list(self._deployments)) > _MOST_STAGES:
            for deployment_id in loaded:
                await self._deployments.unload(deployment_id)


async def _stream(parts: list[Any]) -> AsyncIterator[Any]:
    for part in parts:
        yield part


@contextmanager
def _start(scratch: Path) -> Iterator[Run]:
    log = logging.getLogger("node_service")
    level = log.level
    log.setLevel(logging.CRITICAL)  # defects are raised
    board = _Board(scratch / "store")

    def call_all(data: bytes) -> None:
        for number, parts in _calls(data):
            board.loop.run_until_complete(board.call(number, parts))
        board.loop.run_until_complete(board.tidy())

    def end() -> None:
        board.loop.run_until_complete(board.close())
        board.loop.close()
        log.setLevel(level)

    try:
        yield call_all
    except Exception:  # not at the end of a process that never leaves the target
        end()
        raise
    end()


def _calls(data: bytes) -> Iterator[tuple[int, list[bytes]]]:
    place = 0
    for _ in range(_MOST_CALLS):
        if place + _CALL.size > len(data):
            return
        number, count = _CALL.unpack_from(data, place)
        place += _CALL.size
        parts = []
        for _ in range(count):
            if place + _LENGTH.size > len(data):
                break
            (n_bytes,) = _LENGTH.unpack_from(data, place)
            parts.append(data[place + _LENGTH.size : place + _LENGTH.size + n_bytes])
            place += _LENGTH.size + n_bytes
        yield number, parts


def _input(name: str, *parts: Any) -> bytes:
    serialized = [part.SerializeToString() for part in parts]
    return _CALL.pack(_NUMBERS[name], len(parts)) + b"".join(_LENGTH.pack(len(part)) + part for part in serialized)


def _seeds() -> Iterator[bytes]:
    model = sample_models.relu_chain(["x", "y"]).build()
    sha256 = hashlib.sha256(model).hexdigest()
    header = messages.PartitionHeader(sha256=sha256, size_bytes=len(model))
    put = _input("PutPartition", messages.PutPartitionRequest(header=header), messages.PutPartitionRequest(chunk=model))
    x, y = (TensorSpec(name=name, dtype=DType.FLOAT32, shape=[1, 2]) for name in "xy")
    file = ModelFile(path="p", sha256=sha256, size_bytes=len(model))
    partition = Partition(file=file, stop_op=1, inputs=[x], outputs=[y], arriving=[x], leaving=[y])
    load = messages.LoadStageRequest(deployment_id="d", partition=partition, runtime_floor="1.5.0", threads=1)
    yield put + _input("LoadStage", load) + _input("Describe", messages.DescribeRequest())
    yield _input("LoadStage", load) + _input("UnloadDeployment", messages.UnloadDeploymentRequest(deployment_id="d"))
    yield _input("FindMissing", messages.FindMissingRequest(sha256=["0" * 64, sha256]))
    key = messages.ProfileKey(sha256=sha256, threads=2)
    yield _input("FindProfiles", messages.FindProfilesRequest(keys=[key]))
    profile = messages.ProfileHeader(key=key, size_bytes=4, confidence=0.02, budget_s=1)
    yield _input("Profile", messages.ProfileRequest(header=profile), messages.ProfileRequest(chunk=b"bad!"))
    yield _input("Drain", messages.DrainRequest()) + _input("LoadStage", load)
    yield _input("MeasureCodecs", messages.MeasureCodecsRequest(budget_s=1))


TARGET = Target("control_plane", _start, (), _seeds, (b"../", b"\xff" * 8, b"0" * 64))

"""One board's control plane as the client uses it: describe, upload what is missing, load, unload, measure."""

from __future__ import annotations

import io
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

import grpc
import grpc.aio

from fleet.errors import (
    BoardDefectError,
    BoardError,
    BoardForbiddenError,
    BoardRefusedError,
    BoardUnavailableError,
)
from fleet.inventory import Board
from protos.v1 import control_plane_pb2 as messages
from protos.v1 import control_plane_pb2_grpc
from protos.v1.manifest_pb2 import ModelFile
from transport.channel import PROTOCOL_VERSION, open_channel
from transport.credentials import Credentials

# Far below the default limit of a gRPC message, large enough that per-chunk costs vanish.
_CHUNK_BYTES = 2**20
# Loading packs the weights for the kernels and may page them in from a slow card.
_LOAD_TIMEOUT_S = 120.0
_UPLOAD_TIMEOUT_S = 600.0
_BROKE_WRITING = "Internal error from Core"


class BoardControl:
    """An asynchronous client of one board's control plane. Every call has a deadline and raises a BoardError."""

    def __init__(self, board: Board, *, credentials: Credentials | None, timeout_s: float) -> None:
        """Args: credentials: None for plaintext, which somebody asked for by name. timeout_s: of each call that does not load."""
        self.board = board
        self._timeout_s = timeout_s
        self._channel = open_channel(board.address, credentials=credentials, name=board.certificate_name)
        self._stub = control_plane_pb2_grpc.ControlPlaneStub(self._channel)

    async def __aenter__(self) -> BoardControl:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._channel.close()

    async def describe(self) -> messages.Description:
        """What the board is and holds. Raises: BoardRefusedError: it speaks another version of the protocol."""
        description = await self._call(self._stub.Describe, messages.DescribeRequest(), self._timeout_s)
        if description.protocol_version != PROTOCOL_VERSION:
            raise BoardRefusedError(
                self.board.name,
                f"speaks protocol version {description.protocol_version} (boardline {description.software_version}), this "
                f"client {PROTOCOL_VERSION}. Install the same version of boardline on both.",
            )
        return description  # type: ignore[no-any-return]  # the stubs are untyped

    async def find_missing(self, hashes: list[str]) -> set[str]:
        """Which of these partitions the board does not have."""
        request = messages.FindMissingRequest(sha256=hashes)
        reply = await self._call(self._stub.FindMissing, request, self._timeout_s)
        return set(reply.sha256)

    async def upload(
        self, file: ModelFile, source: Path | bytes, on_bytes: Callable[[int], None] = lambda chunk_bytes: None
    ) -> None:
        """Sends a partition in chunks, from its file or from memory; `on_bytes` hears of each chunk's size."""
        chunks = _chunks(file, source, on_bytes)
        try:
            await self._call(self._stub.PutPartition, chunks, _UPLOAD_TIMEOUT_S)
        finally:
            await chunks.aclose()  # a board that refuses leaves it in the middle, with the file open

    async def load(self, request: messages.LoadStageRequest) -> messages.LoadedStage:
        """Loads a stored partition as a stage."""
        reply = await self._call(self._stub.LoadStage, request, _LOAD_TIMEOUT_S)
        return reply.stage  # type: ignore[no-any-return]

    async def unload(self, deployment_id: str) -> int:
        """Unloads a deployment's stages; how many there were."""
        request = messages.UnloadDeploymentRequest(deployment_id=deployment_id)
        reply = await self._call(self._stub.UnloadDeployment, request, self._timeout_s)
        return int(reply.unloaded_stages)

    async def drain(self, *, undo: bool = False) -> messages.DrainReply:
        """Takes the board out of service, or back; it stays reachable, and may have streams for a moment.

        Returns: whether that outlasts a restart of its service.
        """
        request = messages.DrainRequest(undo=undo)
        return await self._call(self._stub.Drain, request, self._timeout_s)  # type: ignore[no-any-return]

    def profile_key(self, sha256: str) -> messages.ProfileKey:
        """Of a partition here, with the threads and the delegate that boards.yaml gives the board."""
        return messages.ProfileKey(sha256=sha256, threads=self.board.threads or 0, delegate=self.board.delegate or "")

    async def find_profiles(self, keys: Iterable[messages.ProfileKey]) -> list[messages.Profile]:
        """The profiles that the board has kept of these partitions, for its present configuration, in the order asked for."""
        reply = await self._call(self._stub.FindProfiles, messages.FindProfilesRequest(keys=keys), self._timeout_s)
        return list(reply.profiles)

    async def profile(self, header: messages.ProfileHeader, data: bytes, timeout_s: float) -> messages.Profile:
        """Has the board measure a partition, which it then throws away.

        Args:
            data: the partition's file.
            timeout_s: for everything: upload, waiting for another client's measurement, and several times the header's budget
                where one run takes long.
        """
        reply = await self._call(self._stub.Profile, _profile_parts(header, data), timeout_s)
        return reply.profile  # type: ignore[no-any-return]

    async def measure_codecs(self, budget_s: float) -> list[messages.CodecSpeed]:
        """How fast each codec of the board is. Has the board busy for `budget_s` at most."""
        request = messages.MeasureCodecsRequest(budget_s=budget_s)
        reply = await self._call(self._stub.MeasureCodecs, request, budget_s + self._timeout_s)
        return list(reply.speeds)

    async def _call(self, method: Any, request: Any, timeout_s: float) -> Any:
        try:
            return await method(request, timeout=timeout_s)
        except grpc.aio.AioRpcError as error:
            raise _translate(self.board, error, timeout_s) from error


def _translate(board: Board, error: grpc.aio.AioRpcError, timeout_s: float) -> BoardError:
    code, details = error.code(), error.details() or "no details"
    if code == grpc.StatusCode.DEADLINE_EXCEEDED:
        return BoardUnavailableError(board.name, f"{board.address} did not answer within {timeout_s:g} s.")
    if code == grpc.StatusCode.UNIMPLEMENTED:
        return BoardRefusedError(
            board.name, f"{board.address} answers, but is no boardline node service of this version: {details}."
        )
    # grpcio's own INTERNAL is a connection that broke while a message was written; a node service says what its defect is.
    if code == grpc.StatusCode.UNAVAILABLE or (code == grpc.StatusCode.INTERNAL and details.startswith(_BROKE_WRITING)):
        return BoardUnavailableError(
            board.name,
            f"{board.address} does not answer ({details}). Is it on, and its node service running? Do both sides speak TLS, with "
            f"certificates of one authority, and is the board's for {board.certificate_name}?",
        )
    if code == grpc.StatusCode.PERMISSION_DENIED:
        return BoardForbiddenError(board.name, details)
    if code in (grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN):
        return BoardDefectError(board.name, details)
    return BoardRefusedError(board.name, details)


async def _chunks(
    file: ModelFile, source: Path | bytes, on_bytes: Callable[[int], None]
) -> AsyncGenerator[messages.PutPartitionRequest, None]:
    header = messages.PartitionHeader(sha256=file.sha256, size_bytes=file.size_bytes)
    yield messages.PutPartitionRequest(header=header)
    with io.BytesIO(source) if isinstance(source, bytes) else source.open("rb") as stream:
        while chunk := stream.read(_CHUNK_BYTES):
            yield messages.PutPartitionRequest(chunk=chunk)
            on_bytes(len(chunk))


def _profile_parts(header: messages.ProfileHeader, data: bytes) -> Iterator[messages.ProfileRequest]:
    yield messages.ProfileRequest(header=header)
    for start in range(0, len(data), _CHUNK_BYTES):
        yield messages.ProfileRequest(chunk=data[start : start + _CHUNK_BYTES])

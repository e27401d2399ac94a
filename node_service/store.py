"""The board's disk: partitions named by their content's hash, and the stages to load again after a restart."""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from google.protobuf import json_format

from node_service.errors import BadRequestError, StoreError
from protos.v1.control_plane_pb2 import LoadStageRequest

_SHA256 = re.compile(r"[0-9a-f]{64}")
_DEPLOYMENT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


class Store:
    """Files under one directory. Every write goes to a temporary file, is synced, and is then renamed into place."""

    def __init__(self, directory: Path) -> None:
        """Raises: StoreError: the directory cannot be made or written."""
        self._partitions = directory / "partitions"
        self._stages = directory / "stages"
        try:
            for path in (self._partitions, self._stages):
                path.mkdir(parents=True, exist_ok=True)
                for leftover in path.glob("*.tmp"):  # a write that a power cut interrupted
                    leftover.unlink()
        except OSError as error:
            raise StoreError(f"the store {directory} cannot be used: {error}. Choose a writable --store.") from error

    def find_missing(self, hashes: Iterable[str]) -> list[str]:
        """Which of these partitions are not stored, in the given order. Raises: BadRequestError: not a SHA-256."""
        return [h for h in hashes if not self._partition(h).is_file()]

    def partition_path(self, sha256: str) -> Path | None:
        """Where a partition lies, or None if it is not stored."""
        path = self._partition(sha256)
        return path if path.is_file() else None

    @contextmanager
    def receive(self, sha256: str, size_bytes: int) -> Iterator[PartitionWriter]:
        """A writer for one partition; stored on leaving if size and hash agree, discarded otherwise.

        Raises: BadRequestError: another size or hash than announced. StoreError: the disk is full or read-only.
        """
        path = self._partition(sha256)
        with _replacing(path) as file:
            writer = PartitionWriter(file, size_bytes)
            yield writer
            writer.require_complete(sha256)

    def save_stage(self, request: LoadStageRequest) -> None:
        """Remembers a stage across restarts. Raises: StoreError."""
        with _replacing(self._stage(request.deployment_id, request.stage_index)) as file:
            file.write(json_format.MessageToJson(request, preserving_proto_field_name=True).encode())

    def forget_stage(self, deployment_id: str, stage_index: int) -> None:
        """Forgets a stage; the partition stays, other deployments may share it."""
        self._stage(deployment_id, stage_index).unlink(missing_ok=True)

    def saved_stages(self) -> list[tuple[Path, LoadStageRequest | None]]:
        """The remembered stages; None for a file that cannot be read."""
        found: list[tuple[Path, LoadStageRequest | None]] = []
        for path in sorted(self._stages.glob("*.json")):
            try:
                found.append((path, json_format.Parse(path.read_bytes(), LoadStageRequest())))
            except (json_format.ParseError, OSError, UnicodeDecodeError):
                found.append((path, None))
        return found

    def _partition(self, sha256: str) -> Path:
        if not _SHA256.fullmatch(sha256):
            raise BadRequestError("a partition is named by 64 lower-case hexadecimal digits.")
        return self._partitions / f"{sha256}.tflite"

    def _stage(self, deployment_id: str, stage_index: int) -> Path:
        check_deployment_id(deployment_id)
        return self._stages / f"{deployment_id}.{stage_index}.json"


class PartitionWriter:
    """Counts and hashes what it writes, and refuses more than was announced."""

    def __init__(self, file: IO[bytes], size_bytes: int) -> None:
        self._file = file
        self._size_bytes = size_bytes
        self._written_bytes = 0
        self._digest = hashlib.sha256()

    def write(self, chunk: bytes) -> None:
        """Appends a chunk. Raises: BadRequestError: more bytes than announced. StoreError: the disk is full."""
        self._written_bytes += len(chunk)
        if self._written_bytes > self._size_bytes:
            raise BadRequestError(f"more bytes arrive than the {self._size_bytes} announced.")
        self._digest.update(chunk)
        with _disk_errors():
            self._file.write(chunk)

    def require_complete(self, sha256: str) -> None:
        """Raises BadRequestError unless all announced bytes came and have the announced hash."""
        if self._written_bytes != self._size_bytes:
            raise BadRequestError(f"{self._written_bytes} bytes arrived, {self._size_bytes} were announced.")
        if self._digest.hexdigest() != sha256:
            raise BadRequestError(
                f"the partition's SHA-256 is {self._digest.hexdigest()}, announced was {sha256}: it was damaged on its way, "
                "or the bundle was. Check the bundle: python -m converter verify BUNDLE."
            )


def check_deployment_id(deployment_id: str) -> None:
    """Raises BadRequestError unless the id may be part of a file name."""
    if not _DEPLOYMENT.fullmatch(deployment_id):
        raise BadRequestError(
            "a deployment id is 1 to 128 letters, digits, dots, dashes or underscores and begins with a letter or digit."
        )


@contextmanager
def _replacing(path: Path) -> Iterator[IO[bytes]]:
    """A file that takes `path`'s place, synced, when the block ends well, and vanishes when it does not."""
    with _disk_errors():
        descriptor, temporary = tempfile.mkstemp(suffix=".tmp", dir=path.parent)
    try:
        with open(descriptor, "wb") as file:
            yield file  # errors of the block are the block's own and pass as they are
            with _disk_errors():
                file.flush()
                os.fsync(file.fileno())
                os.replace(temporary, path)
                directory = os.open(path.parent, os.O_RDONLY)
                try:
                    os.fsync(directory)
                finally:
                    os.close(directory)
    finally:
        Path(temporary).unlink(missing_ok=True)


@contextmanager
def _disk_errors() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StoreError(f"the store cannot be written: {error.strerror}.") from error

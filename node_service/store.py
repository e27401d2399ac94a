"""The board's disk: partitions named by their content's hash, and what a restart must find: stages to load, a drain."""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import threading
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from types import TracebackType

from google.protobuf import json_format

from node_service.errors import BadRequestError, StoreError
from node_service.replacement import (
    Replacement,
    disk_errors,
    make_directories,
    remove_file,
    remove_leftovers,
    replace_file,
    sync_directory,
)
from protos.v1.control_plane_pb2 import LoadStageRequest

_SHA256 = re.compile(r"[0-9a-f]{64}")
_READ_BYTES = 2**20
# The schema's own limit: a flatbuffer has 32-bit signed offsets.
_MAX_PARTITION_BYTES = 2**31
# Of a disk; more is never kept free for others.
_MOST_RESERVE = 1 / 20
_MOST_HASHES = 4096
_DEPLOYMENT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


class Store:
    """Files under one directory. Every write goes to a temporary file, is synced, and is then renamed into place."""

    def __init__(self, directory: Path, reserve_bytes: int = 0) -> None:
        """A read-only disk serves what it holds.

        Args: reserve_bytes: room that partitions leave free, but no more than a twentieth of the disk.
        Raises: StoreError: the directory cannot be made, or another service uses it."""
        self._reserve_bytes = reserve_bytes
        self._promised_bytes = 0  # to uploads that have begun
        self._promising = threading.Lock()
        self._partitions = directory / "partitions"
        self._stages = directory / "stages"
        self._drained = directory / "drained"
        try:
            for path in (self._partitions, self._stages):
                make_directories(path)
            self._lock = _lock_directory(directory)
            for path in (directory, self._partitions, self._stages):
                remove_leftovers(path)
        except OSError as error:
            raise StoreError(f"the store {directory} cannot be used: {error}. Choose a writable --store.") from error

    def find_missing(self, hashes: Iterable[str]) -> list[str]:
        """Which of these partitions are not stored, in the given order. Raises: BadRequestError: not a SHA-256, or very many."""
        hashes = list(hashes)
        if len(hashes) > _MOST_HASHES:
            raise BadRequestError(
                f"{len(hashes)} partitions were asked for; at most {_MOST_HASHES} are looked up at once."
            )
        return [h for h in hashes if not self._partition(h).is_file()]

    def receive(self, sha256: str, size_bytes: int) -> AbstractContextManager[PartitionWriter]:
        """A writer for one partition, to be used in a with block.

        Raises: BadRequestError: an impossible size, or no SHA-256. StoreError: the disk is full or read-only, or would be too
            full for others.
        """
        if not 0 < size_bytes < _MAX_PARTITION_BYTES:
            raise BadRequestError(f"a partition has 1 to {_MAX_PARTITION_BYTES - 1} bytes, not {size_bytes}.")
        return self._receive(self._partition(sha256), sha256, size_bytes)

    @contextmanager
    def _receive(self, path: Path, sha256: str, size_bytes: int) -> Iterator[PartitionWriter]:
        with self._room(size_bytes), PartitionWriter(path, sha256, size_bytes) as writer:
            yield writer

    def intact_partition(self, sha256: str) -> Path | None:
        """Where a partition lies, after reading it whole and comparing its hash; None if it is not stored.

        Raises: StoreError: it has decayed on the disk; it is removed, so that the next deployment uploads it again.
        """
        path = self._partition(sha256)
        if not path.is_file():
            return None
        digest = hashlib.sha256()
        with disk_errors(), path.open("rb") as file:
            while chunk := file.read(_READ_BYTES):
                digest.update(chunk)
        if digest.hexdigest() != sha256:
            remove_file(path)
            raise StoreError(
                f"the stored partition {sha256} is damaged on this board's disk and was removed. Deploy again to upload it anew, "
                "and look at the disk or card."
            )
        return path

    @contextmanager
    def _room(self, size_bytes: int) -> Iterator[None]:
        """Promises room to one upload. What it has written by then counts twice: rather too careful than a full disk."""
        with self._promising:
            with disk_errors():
                usage = shutil.disk_usage(self._partitions)
            reserve_bytes = min(self._reserve_bytes, int(usage.total * _MOST_RESERVE))
            free_bytes = usage.free - reserve_bytes - self._promised_bytes
            if size_bytes > free_bytes:
                raise StoreError(
                    f"the store cannot be written: No space left for a partition of {size_bytes} bytes; {usage.free} are free, "
                    f"of which {reserve_bytes} stay so (--store-reserve-mib) and {self._promised_bytes} are promised to uploads."
                )
            self._promised_bytes += size_bytes
        try:
            yield
        finally:
            with self._promising:
                self._promised_bytes -= size_bytes

    def close(self) -> None:
        """Lets another service have the directory."""
        os.close(self._lock)

    def save_stage(self, request: LoadStageRequest) -> None:
        """Remembers a stage across restarts. Raises: StoreError.

        What is remembered already is not written again: a dispatcher that comes back finds its stages on a full disk, too.
        """
        path = self._stage(request.deployment_id, request.stage_index)
        if _read_stage(path) == request:
            sync_directory(path.parent)  # who wrote it may have been killed before it did that
            return
        replace_file(path, json_format.MessageToJson(request, preserving_proto_field_name=True).encode())

    def forget_stage(self, deployment_id: str, stage_index: int) -> None:
        """Forgets a stage; the partition stays, other deployments may share it. Raises: StoreError."""
        remove_file(self._stage(deployment_id, stage_index))

    def saved_stages(self) -> list[tuple[Path, LoadStageRequest | None]]:
        """The remembered stages; None for a file that cannot be read."""
        found: list[tuple[Path, LoadStageRequest | None]] = []
        for path in sorted(self._stages.glob("*.json")):
            found.append((path, _read_stage(path)))
        return found

    @property
    def is_drained(self) -> bool:
        """Whether the board was taken out of service, and not back."""
        return self._drained.exists()

    def save_drained(self, is_drained: bool) -> None:
        """Remembers across restarts whether the board is out of service; what is so already is not written. Raises: StoreError."""
        if is_drained == self.is_drained:
            sync_directory(self._drained.parent)  # who wrote it may have been killed before it did that
        elif is_drained:
            replace_file(self._drained, b"out of service\n")
        else:
            remove_file(self._drained)

    def _partition(self, sha256: str) -> Path:
        check_sha256(sha256)
        return self._partitions / f"{sha256}.tflite"

    def _stage(self, deployment_id: str, stage_index: int) -> Path:
        check_deployment_id(deployment_id)
        return self._stages / f"{deployment_id}.{stage_index}.json"


class PartitionWriter:
    """Writes one partition beside its place, counting and hashing; `commit` moves it there, leaving the block without removes it.

    with store.receive(sha256, size_bytes) as writer:
        writer.write(chunk)
        writer.commit()
    """

    def __init__(self, path: Path, sha256: str, size_bytes: int) -> None:
        self._sha256 = sha256
        self._size_bytes = size_bytes
        self._written_bytes = 0
        self._digest = hashlib.sha256()
        self._replacement = Replacement(path)

    def __enter__(self) -> PartitionWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._replacement.discard()

    def write(self, chunk: bytes) -> None:
        """Appends a chunk. Raises: BadRequestError: more bytes than announced. StoreError: the disk is full."""
        self._written_bytes += len(chunk)
        if self._written_bytes > self._size_bytes:
            raise BadRequestError(f"more bytes arrive than the {self._size_bytes} announced.")
        self._digest.update(chunk)
        self._replacement.write(chunk)

    def commit(self) -> None:
        """Syncs and moves the partition to its place; a slow card takes seconds for that.

        Raises: BadRequestError: another size or hash than announced. StoreError: the disk is full or fails.
        """
        self._verify()
        self._replacement.commit()

    def verified(self) -> Path:
        """Where the whole partition lies until the block is left: for who needs it once and does not keep it.

        Raises: as `commit`.
        """
        self._verify()
        return self._replacement.readable()

    def _verify(self) -> None:
        if self._written_bytes != self._size_bytes:
            raise BadRequestError(f"{self._written_bytes} bytes arrived, {self._size_bytes} were announced.")
        if self._digest.hexdigest() != self._sha256:
            raise BadRequestError(
                f"the partition's SHA-256 is {self._digest.hexdigest()}, announced was {self._sha256}: it was damaged on its "
                "way, or the bundle was. Check the bundle: python -m converter verify BUNDLE."
            )


def _read_stage(path: Path) -> LoadStageRequest | None:
    try:
        return json_format.Parse(path.read_bytes(), LoadStageRequest())
    except (json_format.ParseError, OSError, UnicodeDecodeError):
        return None


def _lock_directory(directory: Path) -> int:
    """Keeps a second service off; the system lets go of the lock when the process ends, however it ends."""
    # Not for writing: a disk with a file open for that cannot be made read-only, and one that is could not be served from.
    descriptor = os.open(directory / "lock", os.O_RDONLY | os.O_CREAT, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise StoreError(f"the store {directory} is in use by another node service. Choose another --store.") from None
    return descriptor


def check_sha256(sha256: str) -> None:
    """Raises BadRequestError unless this names a partition."""
    if not _SHA256.fullmatch(sha256):
        raise BadRequestError("a partition is named by 64 lower-case hexadecimal digits.")


def check_deployment_id(deployment_id: str) -> None:
    """Raises BadRequestError unless the id may be part of a file name."""
    if not _DEPLOYMENT.fullmatch(deployment_id):
        raise BadRequestError(
            "a deployment id is 1 to 128 letters, digits, dots, dashes or underscores and begins with a letter or digit."
        )

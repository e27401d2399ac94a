"""A file that takes another's place whole, or not at all, whatever moment the power fails."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from node_service.errors import StoreError

_SUFFIX = ".tmp"


class Replacement:
    """A file that takes another's place, synced, or vanishes. Raises: StoreError."""

    def __init__(self, path: Path) -> None:
        self._path = path
        with disk_errors():
            descriptor, name = tempfile.mkstemp(suffix=_SUFFIX, dir=path.parent)
        self._temporary = Path(name)
        self._file = open(descriptor, "wb")  # noqa: SIM115 - closed by commit or discard

    def write(self, data: bytes) -> None:
        """Appends; nothing is seen at the file's place yet."""
        with disk_errors():
            self._file.write(data)

    def commit(self) -> None:
        """Syncs and moves the file to its place; a slow card takes seconds for that."""
        with disk_errors():
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
            os.replace(self._temporary, self._path)
        sync_directory(self._path.parent)

    def readable(self) -> Path:
        """Where the file lies before it is committed, with all that was written."""
        with disk_errors():
            self._file.flush()
        return self._temporary

    def discard(self) -> None:
        """Removes what was not committed; does nothing after a commit."""
        with contextlib.suppress(OSError):  # what is in the buffer may not fit the disk; it is not wanted
            self._file.close()
        with contextlib.suppress(OSError):  # a disk that has become read-only; the next start removes it
            self._temporary.unlink(missing_ok=True)


def replace_file(path: Path, data: bytes) -> None:
    """Writes a small file whole. Raises: StoreError."""
    replacement = Replacement(path)
    try:
        replacement.write(data)
        replacement.commit()
    finally:
        replacement.discard()


def remove_file(path: Path) -> None:
    """Removes a file for good: a power cut does not bring it back. Raises: StoreError."""
    with disk_errors():
        path.unlink(missing_ok=True)
    sync_directory(path.parent)


def remove_leftovers(directory: Path) -> None:
    """Removes what a kill or a power cut left of replacements; on a read-only disk it stays."""
    for leftover in directory.glob(f"*{_SUFFIX}"):
        with contextlib.suppress(OSError):
            leftover.unlink()


def make_directories(directory: Path) -> None:
    """Makes a directory and those above it that are missing, for good. Raises: OSError, StoreError."""
    missing = []
    while not directory.is_dir():
        missing.append(directory)
        directory = directory.parent
    for path in reversed(missing):
        path.mkdir(exist_ok=True)
        sync_directory(path.parent)


def sync_directory(directory: Path) -> None:
    """Has the disk confirm the names of its files. Raises: StoreError."""
    with disk_errors():
        descriptor = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


@contextmanager
def disk_errors() -> Iterator[None]:
    """Turns what the disk refuses into a StoreError."""
    try:
        yield
    except OSError as error:
        raise StoreError(f"the store cannot be written: {error.strerror}.") from error

"""A file that takes another's place whole, or not at all, whatever moment the power fails."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from node_service.errors import StoreError


class Replacement:
    """A file that takes another's place, synced, or vanishes. Raises: StoreError."""

    def __init__(self, path: Path) -> None:
        self._path = path
        with disk_errors():
            descriptor, name = tempfile.mkstemp(suffix=".tmp", dir=path.parent)
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
            directory = os.open(self._path.parent, os.O_RDONLY)
            try:
                os.fsync(directory)
            finally:
                os.close(directory)

    def readable(self) -> Path:
        """Where the file lies before it is committed, with all that was written."""
        with disk_errors():
            self._file.flush()
        return self._temporary

    def discard(self) -> None:
        """Removes what was not committed; does nothing after a commit."""
        with contextlib.suppress(OSError):  # what is in the buffer may not fit the disk; it is not wanted
            self._file.close()
        self._temporary.unlink(missing_ok=True)


def replace_file(path: Path, data: bytes) -> None:
    """Writes a small file whole. Raises: StoreError."""
    replacement = Replacement(path)
    try:
        replacement.write(data)
        replacement.commit()
    finally:
        replacement.discard()


@contextmanager
def disk_errors() -> Iterator[None]:
    """Turns what the disk refuses into a StoreError."""
    try:
        yield
    except OSError as error:
        raise StoreError(f"the store cannot be written: {error.strerror}.") from error

"""A directory that is built out of sight and takes its place whole, or not at all, whatever moment the power fails."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import glob
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# <linux/fs.h>, <fcntl.h>
_RENAME_EXCHANGE = 2
_AT_FDCWD = -100
_NOT_THERE = (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP)
_OLD = ".old"


class Building:
    """A hidden directory beside `out`; `move` has it take that place, `discard` removes what did not.

    It is locked while its process lives, so that the next one can tell a leftover of a killed process and remove it.
    """

    def __init__(self, out: Path) -> None:
        """Raises: OSError."""
        self._out = out.absolute()
        make_directories(self._out.parent)
        prefix = f".{self._out.name}.boardline-"
        with _turn(self._out.parent):
            self._clear_leftovers(prefix)
            self.path = Path(tempfile.mkdtemp(prefix=prefix, dir=self._out.parent))
            self._lock = _lock(self.path)
        self.path.chmod(0o755)  # mkdtemp's 0700 would hide the bundle from the service's user

    def move(self) -> None:
        """Syncs all of it and moves it to its place; what was there is removed. Raises: OSError: what was there is there."""
        for path in [*self.path.rglob("*"), self.path]:
            _sync(path)
        with _turn(self._out.parent):
            if not self._out.exists():
                os.rename(self.path, self._out)
            elif not exchange(self.path, self._out):
                self._move_in_two_steps()
            _sync(self._out.parent)

    def discard(self) -> None:
        """Removes what lies in the hidden place: an unfinished directory, or the one that was replaced."""
        _remove(self.path)
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _move_in_two_steps(self) -> None:
        # A directory that is not empty cannot be renamed over. Who is killed between the two leaves the old one to
        # `_clear_leftovers`, which puts it back.
        retired = self.path.with_name(self.path.name + _OLD)
        os.rename(self._out, retired)
        try:
            os.rename(self.path, self._out)
        except OSError:
            os.rename(retired, self._out)
            raise
        _remove(retired)

    def _clear_leftovers(self, prefix: str) -> None:
        for path in self._out.parent.glob(f"{glob.escape(prefix)}*"):
            lock = None if path.is_symlink() else _lock(path)
            if lock is None and not path.is_symlink():
                continue  # its process lives, or this file system has no locks
            if path.name.endswith(_OLD) and not self._out.exists():
                os.rename(path, self._out)
            else:
                _remove(path)
            if lock is not None:
                os.close(lock)


def exchange(first: Path, second: Path) -> bool:
    """Swaps two names in one step; False where the system or the file system cannot. Raises: OSError: anything else."""
    renameat2 = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if renameat2 is None:
        return False
    if not renameat2(_AT_FDCWD, os.fsencode(first), _AT_FDCWD, os.fsencode(second), _RENAME_EXCHANGE):
        return True
    number = ctypes.get_errno()
    if number in _NOT_THERE:
        return False
    raise OSError(number, os.strerror(number), str(second))


@contextmanager
def _turn(parent: Path) -> Iterator[None]:
    """One writer at a time looks for leftovers or moves; where directories cannot be locked, all do."""
    descriptor = os.open(parent, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _lock(directory: Path) -> int | None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return None
    return descriptor


def _remove(path: Path) -> None:
    if path.is_symlink():  # `out` was a link, and was replaced
        path.unlink()
    else:
        shutil.rmtree(path, ignore_errors=True)


def make_directories(directory: Path) -> None:
    """Makes a directory and those above it that are missing, for good. Raises: OSError."""
    missing = []
    while not directory.is_dir():
        missing.append(directory)
        directory = directory.parent
    for path in reversed(missing):
        path.mkdir(exist_ok=True)
        _sync(path.parent)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

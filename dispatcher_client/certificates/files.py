"""Directories of certificates and keys: read as one, replaced as one, and keys readable by their owner only."""

from __future__ import annotations

import errno
import fcntl
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from bundle.building import Building
from dispatcher_client.certificates.errors import AccessError, KeyMismatchError, NameTakenError, UnreadableError

KEY_SUFFIX = "key.pem"
_LOCK_NAME = ".lock"
_HIDDEN = re.compile(r"\.(.+)\.boardline-[^.]+(?:\.old)?")  # as `Building` calls them
# A reader meets a replacement once in a while, and two in a row hardly; this many mean that files are missing.
_TRIES = 5


def write_directory(path: Path, files: Mapping[str, bytes]) -> None:
    """Has a directory with these files take its place, at once and whole, whatever moment the power fails. Raises: AccessError."""
    with disk_errors(path, "written"):
        building = Building(path)
        try:
            _fill(building.path, files)
            building.move()
        finally:
            building.discard()


def make_directory(path: Path, files: Mapping[str, bytes]) -> None:
    """Makes a directory with these files, for as long as no power cut comes: what is made on the spot waits for no disk.

    Raises: NameTakenError: something is there. AccessError.
    """
    with disk_errors(path, "made"):
        try:
            path.mkdir(parents=True)
        except FileExistsError as error:
            raise NameTakenError(f"{path} exists already. Take another directory.") from error
        _fill(path, files)


def leftovers(directory: Path) -> set[str]:
    """Names of directories that a killed `write_directory` has left something hidden of, an old key perhaps."""
    with disk_errors(directory, "read"):
        found = [_HIDDEN.fullmatch(path.name) for path in directory.iterdir()] if directory.is_dir() else []
    return {match.group(1) for match in found if match}


def clear_leftovers(directory: Path) -> None:
    """Removes what killed writers have left, or puts it back where it is all there is. Raises: AccessError."""
    for name in leftovers(directory):
        with disk_errors(directory, "written"):
            Building(directory / name).discard()


def read_directory(path: Path, names: Sequence[str], optional: Sequence[str] = ()) -> dict[str, bytes]:
    """These files of one directory, all as of one moment, even if it is being replaced.

    Raises: UnreadableError: one of `names` is missing; KeyMismatchError: it is the key. AccessError.
    """
    missing = ""
    for tries_left in reversed(range(_TRIES)):
        with disk_errors(path, "read"):
            try:
                return _read_once(path, names, optional)
            except FileNotFoundError as error:
                missing = str(error.filename)
                if not tries_left or not path.is_dir():
                    break
    if missing.endswith(KEY_SUFFIX):
        raise KeyMismatchError(f"{path / missing} is missing: a certificate is of no use without its key.")
    raise UnreadableError(f"{path / missing} does not exist. Expected in {path}: {', '.join(names)}.")


@contextmanager
def only_writer(directory: Path) -> Iterator[None]:
    """Two commands that change a fleet's directory do not mix. Raises: AccessError: another one is at work, or the disk."""
    with disk_errors(directory, "written"):
        # Not the directory itself, which `Building` locks for its moves.
        descriptor = os.open(directory / _LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno == errno.EWOULDBLOCK:
                raise AccessError(
                    f"another certs command is at work in {directory}. Wait until it has ended."
                ) from error
            # This file system has no locks.
        yield
    finally:
        os.close(descriptor)


@contextmanager
def disk_errors(path: Path, verb: str) -> Iterator[None]:
    """Turns what the system refuses into an AccessError that names the file."""
    try:
        yield
    except OSError as error:
        where = path / error.filename if isinstance(error.filename, str) else path
        hint = " Run it as the user who owns the files." if error.errno in (errno.EACCES, errno.EPERM) else ""
        raise AccessError(f"{where} cannot be {verb}: {error.strerror}.{hint}") from error


def _read_once(path: Path, names: Sequence[str], optional: Sequence[str]) -> dict[str, bytes]:
    # A directory that is replaced meanwhile keeps its files for who has it open, until they are removed.
    directory = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        listed = os.listdir(directory)  # noqa: PTH208 - of what is open, whatever has its name now
        there = [name for name in optional if name in listed]
        return {name: _read(name, directory) for name in (*names, *there)}
    finally:
        os.close(directory)


def _read(name: str, directory: int) -> bytes:
    with open(os.open(name, os.O_RDONLY | os.O_CLOEXEC, dir_fd=directory), "rb") as file:
        return file.read()


def _fill(directory: Path, files: Mapping[str, bytes]) -> None:
    for name, data in files.items():
        # The mode is set as the file is made: no moment, and no umask, lets others read a key.
        mode = 0o600 if name.endswith(KEY_SUFFIX) else 0o644
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        with open(os.open(directory / name, flags, mode), "wb") as file:
            file.write(data)

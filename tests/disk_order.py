"""Notes in which order a writer syncs, renames and removes, and asserts what a power cut asks for.

A kill keeps what was written; a power cut keeps what was synced: a file's content by its own fsync, its name by its directory's.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

Version = tuple[int, int, int]  # inode, size, time of the last change


@dataclass(frozen=True)
class Event:
    """Attributes: path: what was synced, made or removed; of a rename the new name. contents: of what was moved, path by path."""

    kind: str
    path: Path
    contents: dict[Path, Version]


@contextmanager
def recorded(*also_renames: str) -> Iterator[list[Event]]:
    """Notes what happens in the block. Args: also_renames: functions like os.rename, as "module.function"."""
    events: list[Event] = []

    def note_sync(descriptor: int) -> None:
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
        events.append(Event("sync", path, {path: _version(path)}))

    def note_rename(source: Any, target: Any) -> None:
        moved = Path(source)
        contents = {path: _version(path) for path in [moved, *moved.rglob("*")]}
        events.append(Event("rename", Path(target), contents))

    def note(kind: str) -> Callable[..., None]:
        return lambda path, *rest, **options: events.append(Event(kind, Path(path), {}))

    def wrap(call: Callable[..., Any], hear: Callable[..., None]) -> Callable[..., Any]:
        def heard(*arguments: Any, **options: Any) -> Any:
            hear(*arguments, **options)
            return call(*arguments, **options)

        return heard

    hooks: list[tuple[Any, str, Callable[..., None]]] = [
        (os, "fsync", note_sync),
        (os, "rename", note_rename),
        (os, "replace", note_rename),
        (os, "mkdir", note("mkdir")),
        (os, "unlink", note("remove")),
    ]
    for path in also_renames:
        owner, _, name = path.rpartition(".")
        hooks.append((importlib.import_module(owner), name, note_rename))
    patches = [mock.patch.object(owner, name, wrap(getattr(owner, name), hear)) for owner, name, hear in hooks]
    for patch in patches:
        patch.start()
    try:
        yield events
    finally:
        for patch in patches:
            patch.stop()


def assert_survives_power_cut(events: list[Event], names: int, *, removals: bool = False) -> None:
    """Every file that got its name by a rename was synced, as it was, before; every new name was synced after.

    Args:
        names: how many renames there must be.
        removals: whether removed files must stay away, too.
    """
    renames = [(index, event) for index, event in enumerate(events) if event.kind == "rename"]
    assert len(renames) == names
    for index, event in renames:
        synced = [
            (path, v) for earlier in events[:index] if earlier.kind == "sync" for path, v in earlier.contents.items()
        ]
        late = sorted(str(path) for path, version in event.contents.items() if (path, version) not in synced)
        assert not late, f"not synced before the rename to {event.path}: {late}"
    kinds = {"rename", "mkdir", "remove"} if removals else {"rename", "mkdir"}
    for index, event in enumerate(events):
        if event.kind in kinds:
            synced_later = [later.path for later in events[index:] if later.kind == "sync"]
            assert event.path.parent in synced_later, f"{event.kind} of {event.path} is not synced"


def _version(path: Path) -> Version:
    status = path.stat()
    return status.st_ino, status.st_size, status.st_mtime_ns

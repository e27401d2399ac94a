"""Profiles that this board has made, one JSON file each, for its present configuration."""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from google.protobuf import json_format

from node_service.errors import StoreError
from node_service.replacement import make_directories, remove_leftovers, replace_file
from protos.v1.control_plane_pb2 import Profile, ProfileKey
from protos.v1.manifest_pb2 import RuntimeIdentity
from runtime.delegate import NO_DELEGATE

_log = logging.getLogger(__name__)
# Some 700 bytes each. A model that is planned for one board costs a few hundred.
MOST_PROFILES = 20_000


@dataclass(frozen=True)
class Configuration:
    """What a profile depends on beside its key. `delegates` are those of the board: name -> identity."""

    board: str
    machine: str
    runtime: RuntimeIdentity
    delegates: Mapping[str, str] = field(default_factory=dict)

    def file_name(self, key: ProfileKey) -> str:
        """Where the profile of a partition lies; any other configuration gives another name."""
        runtime, delegate = self.runtime, self.delegates.get(key.delegate)
        parts = [key.sha256, key.threads, self.board, self.machine, runtime.runtime, runtime.version]
        parts += [runtime.architecture, f"{key.delegate} {delegate}" if delegate else ""]
        return f"{hashlib.sha256(json.dumps(parts).encode()).hexdigest()}.json"


class ProfileCache:
    """Profiles in a directory, by keys that leave neither threads nor delegate to the board.

    Its methods wait for the disk, so call them from a worker thread; they take turns.
    """

    def __init__(self, directory: Path, configuration: Configuration, most: int = MOST_PROFILES) -> None:
        """Raises: StoreError: the directory cannot be made or read."""
        self._directory = directory
        self._configuration = configuration
        self._most = most
        self._turn = threading.Lock()
        try:
            make_directories(directory)
            remove_leftovers(directory)
            files = [(path.stat().st_mtime_ns, path.name) for path in directory.glob("*.json")]
        except OSError as error:
            raise StoreError(
                f"the profiles in {directory} cannot be used: {error}. Choose a writable --store."
            ) from error
        self._names = dict.fromkeys(name for _, name in sorted(files))  # oldest first

    def find(self, keys: Iterable[ProfileKey]) -> list[Profile]:
        """Those that exist, in the order asked for. A damaged file is removed, so that its profile is made anew."""
        with self._turn:
            found = [self._read(self._configuration.file_name(key), key) for key in keys]
        return [profile for profile in found if profile is not None]

    def keep(self, profile: Profile) -> None:
        """Stores a profile in place of an older one; beyond the limit the oldest goes. Raises: StoreError."""
        name = self._configuration.file_name(profile.key)
        text = json_format.MessageToJson(profile, preserving_proto_field_name=True)
        with self._turn:
            replace_file(self._directory / name, text.encode())
            self._names.pop(name, None)
            self._names[name] = None
            while len(self._names) > self._most:
                self._forget(next(iter(self._names)))

    def _read(self, name: str, key: ProfileKey) -> Profile | None:
        if name not in self._names:
            return None
        try:
            profile = json_format.Parse((self._directory / name).read_bytes(), Profile())
        except (json_format.ParseError, OSError, UnicodeDecodeError) as error:
            _log.error("the profile %s is damaged and is removed: %s", name, error)
            self._forget(name)
            return None
        profile.key.delegate = profile.key.delegate or NO_DELEGATE  # versions without delegates named none
        if profile.key != key:
            _log.error("the profile %s is of another partition and is removed", name)
            self._forget(name)
            return None
        return profile

    def _forget(self, name: str) -> None:
        self._names.pop(name, None)
        with contextlib.suppress(OSError):  # of a disk that is read-only; it is not asked for again
            (self._directory / name).unlink(missing_ok=True)

"""A directory of a model's versions: bundles named by numbers, the highest is the newest."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from bundle import Bundle, BundleError, open_bundle
from bundle.directory import MANIFEST_NAME

# Names, sizes and times of all files: what a bundle is while it does not change.
Fingerprint = tuple[tuple[str, int, int], ...]


@dataclass(frozen=True)
class ModelVersion:
    """A complete bundle in the directory."""

    number: int
    bundle: Bundle
    fingerprint: Fingerprint


class ModelDirectory:
    """What is there now, look by look. A bundle counts once it is complete and has not changed since the look before.

    Complete is what has every file that its manifest names, with the right hash: a copy that is on its way is not.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._seen: dict[int, Fingerprint] = {}
        self._checked: dict[Fingerprint, Bundle | BundleError] = {}

    def newest(self, but: Collection[Fingerprint] = (), *, is_settled: bool = False) -> ModelVersion | None:
        """The highest number that counts; None if there is none.

        Args: but: versions that are left out. is_settled: nothing is being copied, so that one look is enough.
        """
        before = self._seen
        self._seen = {number: _fingerprint(path) for number, path in self._numbered().items()}
        self._checked = {f: c for f, c in self._checked.items() if f in self._seen.values()}
        for number, fingerprint in sorted(self._seen.items(), reverse=True):
            if fingerprint in but or (before.get(number) != fingerprint and not is_settled):
                continue
            checked = self._check(number, fingerprint)
            if isinstance(checked, Bundle):
                return ModelVersion(number, checked, fingerprint)
        return None

    @property
    def incomplete(self) -> dict[int, str]:
        """Versions that do not count at present, and what they lack."""
        found = {number: self._checked.get(fingerprint) for number, fingerprint in self._seen.items()}
        return {number: str(error) for number, error in found.items() if isinstance(error, BundleError)}

    def add(self, bundle: Bundle) -> int:
        """Puts a copy of a bundle there as the newest version, whole or not at all; its number. Raises: BundleError."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            copying = Path(tempfile.mkdtemp(prefix=".version.", dir=self.path))
        except OSError as error:
            raise BundleError(f"{self.path} cannot be written: {error}.") from error
        try:
            shutil.copytree(bundle.path, copying, dirs_exist_ok=True)
            _require_complete(open_bundle(copying))
            copying.chmod(0o755)  # mkdtemp's 0700 would hide it from other users
            while True:
                number = max(self._numbered(), default=0) + 1
                try:
                    os.rename(copying, self.path / str(number))
                except FileExistsError:
                    continue  # another process was faster
                except OSError as error:
                    if (self.path / str(number)).exists():
                        continue
                    raise BundleError(f"{self.path / str(number)} cannot be written: {error}.") from error
                return number
        except OSError as error:
            raise BundleError(f"{self.path} cannot be written: {error}.") from error
        finally:
            shutil.rmtree(copying, ignore_errors=True)

    def _numbered(self) -> dict[int, Path]:
        try:
            found = [path for path in self.path.iterdir() if path.name.isdecimal() and path.is_dir()]
        except OSError:
            return {}
        return {int(path.name): path for path in found}

    def _check(self, number: int, fingerprint: Fingerprint) -> Bundle | BundleError:
        if fingerprint not in self._checked:  # hashing a bundle takes long
            try:
                bundle = open_bundle(self._numbered().get(number, self.path / str(number)))
                _require_complete(bundle)
                self._checked[fingerprint] = bundle
            except (BundleError, OSError) as error:
                self._checked[fingerprint] = error if isinstance(error, BundleError) else BundleError(str(error))
        return self._checked[fingerprint]


def open_bundle_or_newest(path: str | os.PathLike[str]) -> Bundle:
    """The bundle at a path; of a directory of versions, the newest. Raises: BundleError."""
    if (Path(path) / MANIFEST_NAME).is_file():
        return open_bundle(path)
    newest = ModelDirectory(path).newest(is_settled=True)
    return open_bundle(path) if newest is None else newest.bundle


def _require_complete(bundle: Bundle) -> None:
    """Raises BundleError unless all that deploying needs is there."""
    for splitting in bundle.splittings:
        for file in splitting.files:
            bundle.file_path(file)
    bundle.load_sample()


def _fingerprint(directory: Path) -> Fingerprint:
    found = []
    for place, _, names in os.walk(directory):
        for name in names:
            path = Path(place) / name
            try:
                status = path.stat()
            except OSError:
                continue  # it was moved meanwhile
            found.append((str(path), status.st_size, status.st_mtime_ns))
    return tuple(sorted(found))

"""The directory of converted models: where it is, and whether what it holds is still right."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import importlib.metadata
import json
import os
from collections.abc import Iterator
from pathlib import Path

PROJECT_ROOT = Path(__file__).resolve().parents[2]
DIRECTORY_VARIABLE = "BOARDLINE_ZOO_DIR"

# What decides the converted bytes. The rest of the zoo may change without a rebuild.
_SOURCES = ("architectures.py", "_recurrent.py", "_int8_loops.py", "convert.py", "samples.py")
_DISTRIBUTIONS = ("tensorflow", "keras")
_STAMP = "stamp.json"
_LOCK = ".lock"


def default_directory() -> Path:
    """Returns the directory named by BOARDLINE_ZOO_DIR, or else one inside the project."""
    named = os.environ.get(DIRECTORY_VARIABLE)
    return Path(named) if named else PROJECT_ROOT / ".cache" / "zoo"


def model_path(directory: Path, name: str, mode: str) -> Path:
    """Returns where a converted model is kept."""
    return directory / f"{name}-{mode}.tflite"


def input_path(directory: Path, name: str) -> Path:
    """Returns where a model's input sample is kept."""
    return directory / f"{name}-input.npz"


def is_fresh(directory: Path) -> bool:
    """Tells whether a directory's files come from the present sources and versions.

    Where TensorFlow is not installed nothing could be remade, so there only the sources count.
    """
    try:
        stamp = json.loads((directory / _STAMP).read_text())
    except FileNotFoundError:
        return False
    now = _stamp()
    return all(now[key] in (None, stamp.get(key)) for key in now)


def discard_stale(directory: Path) -> None:
    """Empties a directory whose stamp is not the present one, and stamps it anew."""
    if is_fresh(directory):
        return
    for path in (*directory.glob("*.tflite"), *directory.glob("*-input.npz")):
        path.unlink()
    (directory / _STAMP).write_text(json.dumps(_stamp(), indent=2) + "\n")


@contextlib.contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Lets one process at a time fill a directory; the others wait and then find it full."""
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / _LOCK).open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _stamp() -> dict[str, str | None]:
    digest = hashlib.sha256()
    for source in _SOURCES:
        digest.update(Path(__file__).with_name(source).read_bytes())
    return {"sources": digest.hexdigest(), **{name: _version(name) for name in _DISTRIBUTIONS}}


def _version(distribution: str) -> str | None:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None

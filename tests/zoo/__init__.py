"""Small converted models of many structures, made on demand and kept; importing this needs no TensorFlow."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np

from tests.zoo import cache
from tests.zoo.catalogue import MODES, NAMES, UNSUPPORTED, supported

__all__ = ["MODES", "NAMES", "UNSUPPORTED", "inputs", "load", "supported"]

# All models take 40 s on two cores; a slow machine may need several times that.
_MAKE_TIMEOUT_S = 600


def load(name: str, mode: str) -> bytes:
    """Returns a converted model.

    Raises:
        LookupError: there is no such model, or TensorFlow cannot convert it in this mode.
    """
    _check(name)
    if mode not in MODES:
        raise LookupError(f"the zoo has no mode {mode!r} (have: {', '.join(MODES)})")
    if (name, mode) in UNSUPPORTED:
        raise LookupError(f"{name} does not exist in {mode}: {UNSUPPORTED[name, mode]}")
    return _made(cache.model_path(cache.default_directory(), name, mode)).read_bytes()


def inputs(name: str) -> dict[str, np.ndarray]:
    """Returns a model's input sample, float32 with a batch of one, by input name."""
    _check(name)
    with np.load(_made(cache.input_path(cache.default_directory(), name))) as arrays:
        return dict(arrays)


def _check(name: str) -> None:
    if name not in NAMES:
        raise LookupError(f"the zoo has no model {name!r} (have: {', '.join(NAMES)})")


def _made(path: Path) -> Path:
    """Returns a file of the cache, after making the whole zoo if it is missing or stale.

    The whole of it, because whoever needs one model soon needs the next, and importing TensorFlow costs
    more than converting one.
    """
    if not (path.exists() and cache.is_fresh(path.parent)):
        command = [sys.executable, "-m", "tests.zoo.make", str(path.parent.resolve())]
        run = subprocess.run(
            command,
            cwd=cache.PROJECT_ROOT,
            stderr=subprocess.PIPE,
            text=True,
            timeout=_MAKE_TIMEOUT_S,
            check=False,
        )
        if run.returncode:
            raise RuntimeError(f"could not make the zoo:\n{run.stderr}")
    return path

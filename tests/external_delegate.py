"""Shared libraries for tests of delegates, built with the machine's C compiler."""

from __future__ import annotations

import atexit
import functools
import shutil
import subprocess
import tempfile
from pathlib import Path

_SOURCE = Path(__file__).with_suffix(".c")
_BUILD_S = 60.0


@functools.cache
def first_relu() -> Path:
    """A real external delegate: see its source. One for this process, which goes with it."""
    directory = tempfile.mkdtemp(prefix="boardline-delegate-")
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    return build(Path(directory, "libfirst_relu.so"), _SOURCE.read_text())


def build(library: Path, source: str) -> Path:
    """A shared library of a C source."""
    command = ["cc", "-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-x", "c", "-", "-o", str(library)]
    subprocess.run(command, input=source, text=True, check=True, timeout=_BUILD_S)
    return library

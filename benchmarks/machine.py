"""The machine that figures were measured on, as fields of a row."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from runtime import load_runtime

# The widest comes first. With it, or without, an int8 model takes a tenth of the time on processors of one name.
_VECTORS = {
    "avx512_vnni": "AVX-512 VNNI",
    "avx512f": "AVX-512",
    "avx2": "AVX2",
    "asimddp": "dot product",
    "asimd": "NEON",
}


@dataclass(frozen=True)
class Machine:
    """Processor, kernel and versions; the day is UTC's."""

    processor: str
    usable_cores: int
    kernel: str
    runtime: str
    python: str
    day: str


def this_machine() -> Machine:
    """The one that runs this."""
    identity = load_runtime().identity
    return Machine(
        processor=f"{identity.processor} ({identity.architecture}{_vectors()})",
        usable_cores=len(os.sched_getaffinity(0)),
        kernel=f"{platform.system()} {platform.release()}",
        runtime=f"{identity.runtime} {identity.version}",
        python=platform.python_version(),
        day=datetime.now(timezone.utc).date().isoformat(),
    )


def _vectors() -> str:
    """The vector instructions that count, as `, AVX2`; empty where the system does not say."""
    try:
        words = set(Path("/proc/cpuinfo").read_text().split())
    except OSError:
        return ""
    return next((f", {name}" for flag, name in _VECTORS.items() if flag in words), "")

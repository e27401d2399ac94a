"""The machine that figures were measured on, as fields of a row."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from datetime import datetime, timezone

from runtime import load_runtime


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
        processor=f"{identity.processor} ({identity.architecture})",
        usable_cores=len(os.sched_getaffinity(0)),
        kernel=f"{platform.system()} {platform.release()}",
        runtime=f"{identity.runtime} {identity.version}",
        python=platform.python_version(),
        day=datetime.now(timezone.utc).date().isoformat(),
    )

"""Facts of this machine: what the service may use of it, and which machine it is."""

from __future__ import annotations

import contextlib
import math
import os
import platform
from pathlib import Path

from node_service.cgroups import ControlGroups

SYSTEM_ROOT = Path("/")


def cores() -> int:
    """Cores that this process may run on."""
    return len(os.sched_getaffinity(0))


def usable_cores(root: Path = SYSTEM_ROOT) -> float:
    """Processor seconds per second that this process can have: its cores, or less under a quota."""
    quota = ControlGroups(root).quota_cores()
    return float(cores()) if quota is None else min(float(cores()), quota)


def default_threads() -> int:
    """As many threads as can run at once: more of them would wait for one another under a quota."""
    return math.ceil(usable_cores())


def memory_bytes(root: Path = SYSTEM_ROOT) -> tuple[int, int]:
    """(total, available) memory of the machine, or of the control group if that allows less; zeros if neither is known."""
    total_bytes, available_bytes = _machine_memory(root)
    # Unlimited is a number beyond any memory in version 1.
    limits = [limit for limit in ControlGroups(root).memory_limits() if limit.limit_bytes < total_bytes]
    total_bytes = min([total_bytes, *(limit.limit_bytes for limit in limits)])
    free_bytes = (max(0, limit.limit_bytes - limit.used_bytes) for limit in limits)
    return total_bytes, min([available_bytes, *free_bytes])


def core_frequencies_hz(root: Path = SYSTEM_ROOT) -> dict[str, float]:
    """The present clock by core, `0`, `1`, ...; empty where the kernel does not say."""
    found = {}
    for path in sorted(root.glob("sys/devices/system/cpu/cpu[0-9]*/cpufreq/scaling_cur_freq")):
        with contextlib.suppress(OSError, ValueError):  # of a core that is switched off
            found[path.parents[1].name.removeprefix("cpu")] = int(path.read_text()) * 1e3
    return found


def machine_identity(root: Path = SYSTEM_ROOT) -> str:
    """What tells this machine from others: its machine id, or host name and processor where it has none."""
    try:
        machine_id = (root / "etc/machine-id").read_text().strip()
    except OSError:
        machine_id = ""
    return machine_id or f"{platform.node()} {platform.machine()} {platform.processor()}"


def _machine_memory(root: Path) -> tuple[int, int]:
    found = {"MemTotal": 0, "MemAvailable": 0}
    try:
        for line in (root / "proc/meminfo").read_text().splitlines():
            name, _, rest = line.partition(":")
            if name in found:
                found[name] = int(rest.split()[0]) * 1024
    except OSError:
        pass
    return found["MemTotal"], found["MemAvailable"]

"""Who owns a cluster: its id names the owner's process, so anyone can tell a leftover from a cluster in use.

Every name that the emulation gives to something outside its own namespaces starts with `cluster_name(cluster_id)`.
"""

from __future__ import annotations

import itertools
import os
import re
from pathlib import Path

_PREFIX = "boardline-"
_NAME = re.compile(re.escape(_PREFIX) + r"(\d+-\d+-\d+)(?:\..+)?")
_serials = itertools.count()


def new_cluster_id() -> str:
    """An id that no other cluster of this boot has: the process, its start (numbers of processes come again), a count."""
    pid = os.getpid()
    return f"{pid}-{_start_ticks(pid)}-{next(_serials)}"


def cluster_name(cluster_id: str) -> str:
    """The name of the cluster's cgroups and directory."""
    return _PREFIX + cluster_id


def namespace_name(cluster_id: str, what: str) -> str:
    """The name of the network namespace of a board, of the dispatcher or of the hub."""
    return f"{cluster_name(cluster_id)}.{what}"


def cluster_id_in(name: str) -> str | None:
    """The id in a name made here; None for names that others gave."""
    found = _NAME.fullmatch(name)
    return found.group(1) if found else None


def owner_pid(cluster_id: str) -> int:
    """The process that made the cluster, dead or alive."""
    return int(cluster_id.split("-")[0])


def owner_is_alive(cluster_id: str) -> bool:
    """Whether the very process that made the cluster still runs."""
    return str(_start_ticks(owner_pid(cluster_id))) == cluster_id.split("-")[1]


def process_is_alive(pid: int) -> bool:
    """Whether a process of that number runs; one that has ended and was not waited for does not."""
    return _start_ticks(pid) is not None


def _start_ticks(pid: int) -> int | None:
    """When the process started, in clock ticks since boot; None if it does not run."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    fields = stat.rpartition(")")[2].split()  # the command's name, in brackets, may hold anything
    state, start_ticks = fields[0], fields[19]
    return None if state in "ZX" else int(start_ticks)

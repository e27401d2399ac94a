"""Removes a cluster knowing nothing but its id, and finds clusters whose owner is gone.

The one way out: a cluster that ends in order is removed by the same code as one whose owner was killed.
"""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
import time
from pathlib import Path

from benchmarks.boards.cgroups import cluster_directories, mounted_hierarchies, processes_in, remove_directory
from benchmarks.boards.commands import complaint
from benchmarks.boards.errors import EmulationError
from benchmarks.boards.network import NAMESPACES
from benchmarks.boards.ownership import cluster_id_in, cluster_name, owner_is_alive, process_is_alive

# A killed process is gone within its group's next period; one that writes to a slow disk may take seconds.
_GONE_TIMEOUT_S = 20.0
_POLL_S = 0.01


def work_directory(cluster_id: str) -> Path:
    """Where a cluster keeps stores and logs."""
    return Path(tempfile.gettempdir()) / cluster_name(cluster_id)


def orphaned_clusters() -> list[str]:
    """Ids of clusters of which something is left, and whose owner is not."""
    directories = [path.name for path in Path(tempfile.gettempdir()).iterdir() if _is_own(path)]
    ids = {cluster_id_in(name) for name in (*_names_in(NAMESPACES), *directories)}
    ids.update(cluster_id for cluster_id, _ in cluster_directories(mounted_hierarchies()))
    return sorted(cluster_id for cluster_id in ids if cluster_id is not None and not owner_is_alive(cluster_id))


def remove_orphans() -> list[str]:
    """Removes what dead owners left; their ids."""
    found = orphaned_clusters()
    for cluster_id in found:
        remove_cluster(cluster_id)
    return found


def remove_cluster(cluster_id: str) -> None:
    """Ends every process of the cluster and removes its namespaces, groups and files; what is gone already is no error.

    Raises: EmulationError: a process would not end, or something could not be removed.
    """
    groups = [d for i, d in cluster_directories(mounted_hierarchies()) if i == cluster_id]
    namespaces = [NAMESPACES / name for name in _names_in(NAMESPACES) if cluster_id_in(name) == cluster_id]
    _end_processes(groups, namespaces)
    for namespace in namespaces:
        said = complaint(["ip", "netns", "delete", namespace.name])
        if said is not None and namespace.exists():
            raise EmulationError(f"the network namespace {namespace.name} could not be removed: {said}")
    deadline_s = time.monotonic() + _GONE_TIMEOUT_S
    while groups := [group for group in groups if not remove_directory(group)]:
        _wait_for("cgroups to empty", deadline_s)
    directory = work_directory(cluster_id)
    if _is_own(directory):
        shutil.rmtree(directory, ignore_errors=True)


def _end_processes(groups: list[Path], namespaces: list[Path]) -> None:
    """Kills until none is left: one may have started another meanwhile.

    SIGKILL at once, because nothing of an emulated board is kept. The caller, who may be inside, is spared.
    """
    deadline_s = time.monotonic() + _GONE_TIMEOUT_S
    while pids := {p for p in _processes(groups, namespaces) if p != os.getpid() and process_is_alive(p)}:
        for pid in pids:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        _wait_for(f"processes to end: {', '.join(map(str, sorted(pids)))}", deadline_s)


def _processes(groups: list[Path], namespaces: list[Path]) -> set[int]:
    return processes_in(groups) | _processes_in_namespaces(namespaces)


def _processes_in_namespaces(namespaces: list[Path]) -> set[int]:
    wanted = set()
    for namespace in namespaces:
        try:
            found = namespace.stat()
        except OSError:
            continue
        wanted.add((found.st_dev, found.st_ino))
    pids = set()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                inside = (entry / "ns" / "net").stat()
            except OSError:
                continue  # it has ended
            if (inside.st_dev, inside.st_ino) in wanted:
                pids.add(int(entry.name))
    return pids


def _wait_for(what: str, deadline_s: float) -> None:
    if time.monotonic() > deadline_s:
        raise EmulationError(f"gave up waiting for {what}")
    time.sleep(_POLL_S)


def _is_own(path: Path) -> bool:
    """Anyone may make a directory in /tmp, with any name."""
    try:
        return path.lstat().st_uid == os.geteuid()
    except FileNotFoundError:
        return False


def _names_in(directory: Path) -> list[str]:
    try:
        return [path.name for path in directory.iterdir()]
    except FileNotFoundError:
        return []

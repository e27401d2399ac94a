"""CPU quotas and memory limits: a cgroup per board, under version 1 or 2 of the interface, whichever a controller is on.

Groups lie at the root of what is mounted, not below the caller's own: a group of version 2 that holds processes cannot
have groups with controllers, and `down` from another session must find them.
"""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.boards.ownership import cluster_id_in, cluster_name

CONTROLLERS = ("cpu", "memory")
# Short, so that a board's work is slowed evenly and not stopped for long; 10 ms is a scheduler's tick or a few.
_PERIOD_US = 10_000
_MIN_QUOTA_US = 1_000  # the kernel's


@dataclass(frozen=True)
class Hierarchy:
    """Where a controller is: the interface's version and the directory that it is mounted on."""

    version: int
    root: Path


@dataclass
class BoardGroup:
    """One board's cgroups: one directory per hierarchy, by controller."""

    directories: dict[str, tuple[Hierarchy, Path]] = field(default_factory=dict)

    @property
    def join_files(self) -> list[Path]:
        """Files that take a process into the groups."""
        return sorted({directory / "cgroup.procs" for _, directory in self.directories.values()})

    def limit_cpu(self, cores: float | None) -> None:
        """Allows so many seconds of CPU time per second, to all processes together; None lifts the limit."""
        write_quota(*self.directories["cpu"], cores)

    def limit_memory(self, memory_bytes: int) -> None:
        """Ends a process of the group, by SIGKILL, rather than hold more memory; swap, where there is some, is no way out."""
        hierarchy, directory = self.directories["memory"]
        if hierarchy.version == 2:
            (directory / "memory.max").write_text(str(memory_bytes))
            _write_if_there(directory / "memory.swap.max", "0")
            return
        (directory / "memory.limit_in_bytes").write_text(str(memory_bytes))
        _write_if_there(directory / "memory.memsw.limit_in_bytes", str(memory_bytes))

    def memory_kills(self) -> int:
        """How many processes the memory limit has ended."""
        if "memory" not in self.directories:
            return 0
        hierarchy, directory = self.directories["memory"]
        name = "memory.events" if hierarchy.version == 2 else "memory.oom_control"
        words = (directory / name).read_text().split()
        return int(words[words.index("oom_kill") + 1]) if "oom_kill" in words else 0


def quota_of(cores: float) -> tuple[int, int]:
    """(quota, period) in microseconds; below a tenth of a core only a longer period makes the kernel's least quota fit."""
    period_us = max(_PERIOD_US, round(_MIN_QUOTA_US / cores))
    return max(_MIN_QUOTA_US, round(cores * period_us)), period_us


def write_quota(hierarchy: Hierarchy, directory: Path, cores: float | None) -> None:
    """Sets the CPU quota of one group; None lifts it."""
    quota_us, period_us = (None, _PERIOD_US) if cores is None else quota_of(cores)
    if hierarchy.version == 2:
        (directory / "cpu.max").write_text(f"{'max' if quota_us is None else quota_us} {period_us}")
        return
    (directory / "cpu.cfs_period_us").write_text(str(period_us))
    (directory / "cpu.cfs_quota_us").write_text(str(-1 if quota_us is None else quota_us))


def find_hierarchies(mountinfo: str) -> dict[str, Hierarchy]:
    """Where each controller is, from the text of /proc/self/mountinfo. A controller is on one version only."""
    found: dict[str, Hierarchy] = {}
    for line in mountinfo.splitlines():
        before, _, after = line.partition(" - ")
        kind, _, options = after.split(" ", 2)
        root = Path(before.split()[4])
        if kind == "cgroup":
            names = set(options.split(","))
        elif kind == "cgroup2":
            names = set((root / "cgroup.controllers").read_text().split())
        else:
            continue
        for controller in names.intersection(CONTROLLERS):
            found.setdefault(controller, Hierarchy(1 if kind == "cgroup" else 2, root))
    return found


def mounted_hierarchies() -> dict[str, Hierarchy]:
    """Where each controller is on this machine."""
    return find_hierarchies(Path("/proc/self/mountinfo").read_text())


class ClusterGroups:
    """The groups of one cluster."""

    def __init__(self, cluster_id: str, hierarchies: dict[str, Hierarchy]) -> None:
        """Makes the cluster's own group in every hierarchy; what fails is in `missing`, by controller, with the reason."""
        self.missing: dict[str, str] = {}
        self._parents: dict[str, tuple[Hierarchy, Path]] = {}
        for controller in CONTROLLERS:
            if controller not in hierarchies:
                self.missing[controller] = f"no {controller} cgroup controller is mounted or enabled on this machine"
                continue
            hierarchy = hierarchies[controller]
            parent = hierarchy.root / cluster_name(cluster_id)
            try:
                _hand_down(hierarchy, controller, hierarchy.root)
                parent.mkdir(exist_ok=True)
                _hand_down(hierarchy, controller, parent)
            except OSError as error:
                self.missing[controller] = f"cgroup v{hierarchy.version} at {hierarchy.root}: {error}"
            else:
                self._parents[controller] = (hierarchy, parent)

    def make(self, name: str) -> BoardGroup:
        """The group of one board, without limits yet."""
        group = BoardGroup()
        for controller, (hierarchy, parent) in self._parents.items():
            (parent / name).mkdir(exist_ok=True)  # both controllers may be on one hierarchy
            group.directories[controller] = (hierarchy, parent / name)
        return group


def cluster_directories(hierarchies: dict[str, Hierarchy]) -> Iterator[tuple[str, Path]]:
    """(cluster id, directory) of every cluster's own groups on this machine."""
    for root in {hierarchy.root for hierarchy in hierarchies.values()}:
        for directory in root.iterdir():
            cluster_id = cluster_id_in(directory.name)
            if cluster_id is not None:
                yield cluster_id, directory


def processes_in(directories: Iterable[Path]) -> set[int]:
    """Processes in these groups and in the groups of their boards."""
    pids: set[int] = set()
    for directory in directories:
        for procs in directory.glob("**/cgroup.procs"):
            try:
                pids.update(map(int, procs.read_text().split()))
            except OSError:
                continue  # removed meanwhile by another process that cleans up
    return pids


def remove_directory(directory: Path) -> bool:
    """Removes a cluster's group with those of its boards; whether it is gone: one that has processes stays."""
    try:
        below = [group.parent for group in directory.glob("**/cgroup.procs")]
        for group in sorted(below, key=lambda group: -len(group.parts)):
            _rmdir(group)
        _rmdir(directory)
    except FileNotFoundError:
        return True
    except OSError as error:
        if error.errno != errno.EBUSY:
            raise
        return False
    return True


def _hand_down(hierarchy: Hierarchy, controller: str, directory: Path) -> None:
    """Version 2 gives a controller to the groups of a directory only when told to."""
    if hierarchy.version == 1:
        return
    enabled = directory / "cgroup.subtree_control"
    if controller not in enabled.read_text().split():
        enabled.write_text(f"+{controller}")


def _rmdir(directory: Path) -> None:
    with contextlib.suppress(FileNotFoundError):
        directory.rmdir()


def _write_if_there(path: Path, text: str) -> None:
    if path.exists():
        path.write_text(text)

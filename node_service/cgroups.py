"""What the control groups of this process allow it: processor time and memory, of version 1 and 2."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath


@dataclass(frozen=True)
class MemoryLimit:
    """A group's limit, and what is in use of it that the kernel cannot take back without asking."""

    limit_bytes: int
    used_bytes: int


@dataclass(frozen=True)
class _Hierarchy:
    """A mounted hierarchy. `groups` are the process's own group in it and those around it, as far as they are mounted."""

    is_v2: bool
    groups: tuple[Path, ...]


class ControlGroups:
    """The groups that this process is in, read afresh with every call: a manager may change limits at any time."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def quota_cores(self) -> float | None:
        """Processor seconds per second under the tightest quota; None without one."""
        quotas = [
            quota
            for hierarchy in self._hierarchies("cpu")
            for group in hierarchy.groups
            if (quota := _quota_v2(group) if hierarchy.is_v2 else _quota_v1(group)) is not None
        ]
        return min(quotas, default=None)

    def throttled_s(self) -> float:
        """How long quotas have held the groups up since they were made, summed over processors."""
        names = {"throttled_time": 1e-9, "throttled_usec": 1e-6}  # of version 1 and 2
        return sum(
            int(value) * names[name]
            for hierarchy in self._hierarchies("cpu")
            for group in hierarchy.groups
            for name, value in _pairs(group / "cpu.stat")
            if name in names
        )

    def memory_limits(self) -> list[MemoryLimit]:
        """Every memory limit that holds for this process."""
        limits = [
            _memory(group, hierarchy.is_v2) for hierarchy in self._hierarchies("memory") for group in hierarchy.groups
        ]
        return [limit for limit in limits if limit is not None]

    def _hierarchies(self, controller: str) -> Iterator[_Hierarchy]:
        memberships = _memberships(_text(self._root / "proc/self/cgroup"))
        for mount in _mounts(_text(self._root / "proc/self/mountinfo")):
            is_v2 = mount.kind == "cgroup2"
            path = memberships.get("" if is_v2 else controller)
            if path is not None and (is_v2 or controller in mount.options):
                yield _Hierarchy(is_v2, tuple(self._groups(mount, path)))

    def _groups(self, mount: _Mount, path: str) -> Iterator[Path]:
        top = self._root / mount.point.lstrip("/")
        try:
            inside = PurePosixPath(path).relative_to(mount.shown)
        except ValueError:  # the group lies outside of what a container shows; its own limits are mounted at the top
            inside = PurePosixPath()
        if ".." in inside.parts:
            inside = PurePosixPath()
        for group in (inside, *inside.parents):
            yield top / group


@dataclass(frozen=True)
class _Mount:
    """A line of mountinfo: which part of a hierarchy (`shown`) is seen at which place."""

    kind: str
    shown: str
    point: str
    options: frozenset[str]


def _mounts(mountinfo: str) -> Iterator[_Mount]:
    # 36 25 0:30 /shown /point rw,... shared:1 - cgroup cgroup rw,cpu,cpuacct
    for line in mountinfo.splitlines():
        before, _, after = line.partition(" - ")
        fields, kinds = before.split(), after.split()
        if len(fields) >= 5 and len(kinds) >= 3 and kinds[0] in ("cgroup", "cgroup2"):
            yield _Mount(kinds[0], fields[3], fields[4], frozenset(kinds[2].split(",")))


def _memberships(text: str) -> dict[str, str]:
    """The process's group by controller; "" stands for version 2."""
    found = {}
    for line in text.splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        found.update(dict.fromkeys(controllers.split(","), path))
    return found


def _quota_v1(group: Path) -> float | None:
    quota_us, period_us = _number(group / "cpu.cfs_quota_us"), _number(group / "cpu.cfs_period_us")
    return quota_us / period_us if quota_us and period_us and quota_us > 0 else None


def _quota_v2(group: Path) -> float | None:
    quota_us, _, period_us = _text(group / "cpu.max").partition(" ")
    return int(quota_us) / int(period_us) if quota_us.isdigit() and period_us.isdigit() and int(period_us) else None


def _memory(group: Path, is_v2: bool) -> MemoryLimit | None:
    limit_bytes = _number(group / ("memory.max" if is_v2 else "memory.limit_in_bytes"))
    if limit_bytes is None:
        return None
    used_bytes = _number(group / ("memory.current" if is_v2 else "memory.usage_in_bytes")) or 0
    # Cached file pages count as used, but make room when memory is needed.
    cached_name = "inactive_file" if is_v2 else "total_inactive_file"
    cached_bytes = next((int(n) for name, n in _pairs(group / "memory.stat") if name == cached_name), 0)
    return MemoryLimit(limit_bytes, max(0, used_bytes - cached_bytes))


def _pairs(path: Path) -> Iterator[tuple[str, str]]:
    for line in _text(path).splitlines():
        name, _, value = line.partition(" ")
        yield name, value


def _number(path: Path) -> int | None:
    text = _text(path)
    return int(text) if text.lstrip("-").isdigit() else None


def _text(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""

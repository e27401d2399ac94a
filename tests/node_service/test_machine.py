"""What the service may use of the machine: cores and memory under quotas of both versions of control groups."""

from __future__ import annotations

import os
import platform
from pathlib import Path

import pytest

from node_service import machine
from node_service.cgroups import ControlGroups

GIB = 2**30
MEMINFO = f"MemTotal: {8 * 2**20} kB\nMemFree: 1 kB\nMemAvailable: {6 * 2**20} kB\nNoise\n"
V2_MOUNT = "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate"


def v1_mount(controllers: str, shown: str = "/", point: str = "") -> str:
    place = point or f"/sys/fs/cgroup/{controllers}"
    return f"31 25 0:27 {shown} {place} rw,relatime shared:10 - cgroup cgroup rw,{controllers}"


def tree(root: Path, files: dict[str, str]) -> Path:
    for name, content in {"proc/meminfo": MEMINFO, **files}.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{content}\n")
    return root


@pytest.fixture(autouse=True)
def four_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: {0, 1, 2, 3}, raising=False)


def v2(root: Path, group: str, **files: str) -> Path:
    prefix = f"sys/fs/cgroup{group}"
    named = {f"{prefix}/{name.replace('_', '.', 1)}": content for name, content in files.items()}
    return tree(root, named)


def test_all_cores_and_memory_are_usable_without_control_groups(tmp_path: Path) -> None:
    tree(tmp_path, {})
    assert machine.usable_cores(tmp_path) == machine.cores() == 4
    assert machine.memory_bytes(tmp_path) == (8 * GIB, 6 * GIB)


def test_machine_without_proc_has_no_known_memory(tmp_path: Path) -> None:
    assert machine.memory_bytes(tmp_path) == (0, 0)
    assert machine.usable_cores(tmp_path) == 4


def test_tightest_quota_of_version_2_counts_wherever_it_is_set(tmp_path: Path) -> None:
    tree(tmp_path, {"proc/self/cgroup": "0::/boards/pi1/service", "proc/self/mountinfo": V2_MOUNT})
    v2(tmp_path, "/boards/pi1/service", cpu_max="150000 100000")
    v2(tmp_path, "/boards/pi1", cpu_max="50000 100000")
    v2(tmp_path, "/boards", cpu_max="max 100000")
    v2(tmp_path, "/other", cpu_max="1 100000")
    assert machine.usable_cores(tmp_path) == 0.5


def test_quota_of_version_1_counts_with_controllers_mounted_together(tmp_path: Path) -> None:
    tree(
        tmp_path,
        {
            "proc/self/cgroup": "4:memory:/\n3:cpu,cpuacct:/board\n1:name=systemd:/x\n0::/",
            "proc/self/mountinfo": f"22 1 8:1 / / rw - ext4 /dev/sda1 rw\n{v1_mount('cpu,cpuacct')}\n{v1_mount('memory')}",
            "sys/fs/cgroup/cpu,cpuacct/board/cpu.cfs_quota_us": "2000",
            "sys/fs/cgroup/cpu,cpuacct/board/cpu.cfs_period_us": "10000",
            "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "-1",
            "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": "100000",
        },
    )
    assert machine.usable_cores(tmp_path) == 0.2


def test_quota_beyond_the_cores_gives_the_cores(tmp_path: Path) -> None:
    tree(tmp_path, {"proc/self/cgroup": "0::/", "proc/self/mountinfo": V2_MOUNT})
    v2(tmp_path, "", cpu_max="800000 100000")
    assert machine.usable_cores(tmp_path) == 4


def test_groups_are_found_inside_a_container_that_shows_a_part_of_the_tree(tmp_path: Path) -> None:
    tree(
        tmp_path,
        {
            "proc/self/cgroup": "3:cpu:/docker/abc/inner",
            "proc/self/mountinfo": v1_mount("cpu", "/docker/abc"),
            "sys/fs/cgroup/cpu/inner/cpu.cfs_quota_us": "300000",
            "sys/fs/cgroup/cpu/inner/cpu.cfs_period_us": "100000",
        },
    )
    assert ControlGroups(tmp_path).quota_cores() == 3


@pytest.mark.parametrize("path", ["/somewhere/else", "/../../outside"])
def test_groups_outside_what_is_shown_are_taken_for_the_top(tmp_path: Path, path: str) -> None:
    shown = "/docker/abc" if path == "/somewhere/else" else "/"
    tree(
        tmp_path,
        {
            "proc/self/cgroup": f"3:cpu:{path}",
            "proc/self/mountinfo": v1_mount("cpu", shown),
            "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "100000",
            "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000",
        },
    )
    assert ControlGroups(tmp_path).quota_cores() == 1


@pytest.mark.parametrize("content", ["", "max", "nonsense 100000", "100000 0"])
def test_quota_that_cannot_be_understood_is_none(tmp_path: Path, content: str) -> None:
    tree(tmp_path, {"proc/self/cgroup": "0::/", "proc/self/mountinfo": V2_MOUNT})
    v2(tmp_path, "", cpu_max=content)
    assert ControlGroups(tmp_path).quota_cores() is None


def test_memory_limit_of_version_2_leaves_what_is_not_used_or_cached(tmp_path: Path) -> None:
    tree(tmp_path, {"proc/self/cgroup": "0::/a/b", "proc/self/mountinfo": V2_MOUNT})
    v2(tmp_path, "/a/b", memory_max="max", memory_current=f"{GIB}")
    v2(
        tmp_path,
        "/a",
        memory_max=f"{2 * GIB}",
        memory_current=f"{3 * GIB // 2}",
        memory_stat=f"anon {GIB}\ninactive_file {GIB // 4}",
    )
    assert machine.memory_bytes(tmp_path) == (2 * GIB, 3 * GIB // 4)


def test_memory_limit_of_version_1_is_none_when_it_is_beyond_the_machine(tmp_path: Path) -> None:
    limit = "sys/fs/cgroup/memory/memory.limit_in_bytes"
    tree(tmp_path, {"proc/self/cgroup": "4:memory:/", "proc/self/mountinfo": v1_mount("memory")})
    tree(tmp_path, {limit: "9223372036854771712", "sys/fs/cgroup/memory/memory.usage_in_bytes": f"{5 * GIB}"})
    assert machine.memory_bytes(tmp_path) == (8 * GIB, 6 * GIB)
    tree(tmp_path, {limit: f"{4 * GIB}"})
    tree(tmp_path, {"sys/fs/cgroup/memory/memory.stat": f"inactive_file 7\ntotal_inactive_file {2 * GIB}"})
    assert machine.memory_bytes(tmp_path) == (4 * GIB, GIB)


def test_memory_of_a_looser_group_around_counts_when_its_other_members_use_it(tmp_path: Path) -> None:
    tree(tmp_path, {"proc/self/cgroup": "0::/a/b", "proc/self/mountinfo": V2_MOUNT})
    v2(tmp_path, "/a/b", memory_max=f"{2 * GIB}", memory_current=f"{GIB}")
    v2(tmp_path, "/a", memory_max=f"{4 * GIB}", memory_current=f"{5 * GIB}")
    assert machine.memory_bytes(tmp_path) == (2 * GIB, 0)


def test_threads_by_default_are_those_that_can_run_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "usable_cores", lambda: 1.5)
    assert machine.default_threads() == 2
    monkeypatch.setattr(machine, "usable_cores", lambda: 0.2)
    assert machine.default_threads() == 1


def test_machine_is_told_by_its_id_or_by_its_name(tmp_path: Path) -> None:
    assert platform.node() in machine.machine_identity(tmp_path)
    tree(tmp_path, {"etc/machine-id": "0123abcd"})
    assert machine.machine_identity(tmp_path) == "0123abcd"

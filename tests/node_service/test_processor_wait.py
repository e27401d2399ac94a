"""Waiting for a processor: on recorded counters, with and without a quota, and for real."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from node_service.processor_wait import ProcessorWait

CGROUP_V1 = {
    "proc/self/cgroup": "3:cpu:/board",
    "proc/self/mountinfo": "31 25 0:27 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu",
}
CGROUP_V2 = {
    "proc/self/cgroup": "0::/board",
    "proc/self/mountinfo": "30 23 0:26 / /sys/fs/cgroup/cpu rw - cgroup2 cgroup2 rw",
}
STAT = "sys/fs/cgroup/cpu/board/cpu.stat"


def write(root: Path, files: dict[str, str]) -> None:
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)


def schedstat(thread: int, delay_s: float) -> dict[str, str]:
    return {f"proc/self/task/{thread}/schedstat": f"1000 {int(delay_s * 1e9)} 7\n"}


@pytest.fixture
def cpu_s(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The processor time that the process has used, for the test to set."""
    used = [1.0]
    monkeypatch.setattr(time, "process_time", lambda: used[0])
    return used


def test_waits_of_all_threads_are_added_up(tmp_path: Path, cpu_s: list[float]) -> None:
    write(tmp_path, {**schedstat(1, 5.0), **schedstat(2, 1.0)})
    wait = ProcessorWait(tmp_path)
    write(tmp_path, {**schedstat(1, 6.0), **schedstat(2, 1.5), **schedstat(3, 0.5)})
    cpu_s[0] += 6.0
    assert wait.share() == pytest.approx(2 / 8)


@pytest.mark.parametrize(
    ("group", "unit", "other"), [(CGROUP_V1, 1e9, "throttled_time"), (CGROUP_V2, 1e6, "throttled_usec")]
)
def test_wait_under_the_own_quota_does_not_count(
    tmp_path: Path, cpu_s: list[float], group: dict[str, str], unit: float, other: str
) -> None:
    write(tmp_path, {**group, **schedstat(1, 0.0), STAT: f"nr_periods 1\n{other} {int(3 * unit)}\n"})
    wait = ProcessorWait(tmp_path)
    write(tmp_path, {**schedstat(1, 1.6), STAT: f"nr_periods 9\n{other} {int(4.3 * unit)}\n"})
    cpu_s[0] += 0.4
    assert wait.share() == pytest.approx(0.3 / 2)
    write(tmp_path, {STAT: f"{other} {int(9 * unit)}\n"})
    assert wait.share() == 0


@pytest.mark.parametrize("files", [{}, {"proc/self/task/1/schedstat": "nonsense"}])
def test_kernel_that_does_not_count_never_waits(tmp_path: Path, files: dict[str, str]) -> None:
    write(tmp_path, files)
    assert ProcessorWait(tmp_path).share() == 0


def test_two_processes_on_one_core_wait_for_each_other() -> None:
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(allowed)})
    try:
        with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as other:
            wait = ProcessorWait()
            until_s = time.process_time() + 0.3
            while time.process_time() < until_s:
                pass
            other.kill()
        assert 0.1 < wait.share() < 0.95
    finally:
        os.sched_setaffinity(0, allowed)

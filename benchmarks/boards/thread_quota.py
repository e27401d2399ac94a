"""A CPU quota for one thread of a board, below the board's own: a board with a core to compute on and others to spare.

A board that has a quota of two shares of a core, and whose compute thread has a quota of one, is to its partition a machine
with one such core, and all that moves frames finds the other one. The thread goes into a group inside the board's; in version
2 of the interface that group is a threaded one.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.boards.cgroups import BoardGroup, write_quota

_GROUP = "compute"


@dataclass(frozen=True)
class ThreadQuota:
    """Limits one thread of a board at a time; may be sent to another process."""

    group: BoardGroup

    @contextlib.contextmanager
    def hold(self, thread_id: int, cores: float) -> Iterator[None]:
        """Allows the thread so many seconds of CPU time per second, until the end of the `with` block."""
        hierarchy, board = self.group.directories["cpu"]
        directory = board / _GROUP
        directory.mkdir(exist_ok=True)
        threads = "tasks"
        if hierarchy.version == 2:
            threads = "cgroup.threads"
            (directory / "cgroup.type").write_text("threaded")
            (board / "cgroup.subtree_control").write_text("+cpu")
        write_quota(hierarchy, directory, cores)
        (directory / threads).write_text(str(thread_id))
        try:
            yield
        finally:
            for member in (directory / threads).read_text().split():  # it, and threads that it has started
                with contextlib.suppress(ProcessLookupError):  # it has ended
                    (board / threads).write_text(member)
            directory.rmdir()


def thread_cpu_ns(pid: int) -> dict[int, int]:
    """Nanoseconds on a processor of every thread of a process, by thread id."""
    used = {}
    for thread in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(OSError):  # it has ended meanwhile
            used[int(thread.name)] = int((thread / "schedstat").read_text().split()[0])
    return used


def busiest_thread(before: dict[int, int], after: dict[int, int]) -> int:
    """The thread that used most processor time between two readings of `thread_cpu_ns`."""
    return max(after, key=lambda thread: after[thread] - before.get(thread, 0))

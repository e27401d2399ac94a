"""How long this process was ready to run and did not get a processor, because other programs had it."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from node_service.cgroups import ControlGroups

SYSTEM_ROOT = Path("/")
_NANO = 1e-9


@dataclass(frozen=True)
class _Counters:
    cpu_s: float
    delay_s: float
    throttled_s: float


class ProcessorWait:
    """Watches this process from its making on. A kernel that does not count says that it never waited."""

    def __init__(self, root: Path = SYSTEM_ROOT) -> None:
        self._tasks = root / "proc/self/task"
        self._groups = ControlGroups(root)
        self._begin = self._read()

    def share(self) -> float:
        """Of the time that its threads could have run, the share that other programs took, 0 to 1.

        What the process waits under its own quota does not count: the board is that slow, and so will every run be. (The
        kernel counts that as waiting, too; measured with a quota of 20 %: 1.6 s of 2 s, of which 1.3 s throttled.)
        """
        end, begin = self._read(), self._begin
        delay_s = max(0.0, end.delay_s - begin.delay_s)
        waited_s = max(0.0, delay_s - (end.throttled_s - begin.throttled_s))
        wanted_s = end.cpu_s - begin.cpu_s + delay_s
        return waited_s / wanted_s if wanted_s > 0 else 0.0

    def _read(self) -> _Counters:
        delays = (self._delay_s(task) for task in self._tasks.glob("*/schedstat"))
        return _Counters(time.process_time(), sum(delays), self._groups.throttled_s())

    def _delay_s(self, schedstat: Path) -> float:
        try:
            _, delay_ns, _ = schedstat.read_text().split()  # running, ready but not running, number of turns
        except (OSError, ValueError):  # a thread that has ended
            return 0.0
        return int(delay_ns) * _NANO

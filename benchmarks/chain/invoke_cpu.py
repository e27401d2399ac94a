"""What `invoke` takes of the processor, measured in this process: for services that do not say it themselves."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence

from bundle import Bundle
from runtime import Runner, load_runtime
from runtime.random_inputs import random_inputs

_WARM_UP_RUNS = 3
_RUNS = 15


def invoke_cpu_ms(bundle: Bundle, cuts: Sequence[int]) -> tuple[float, ...]:
    """Milliseconds of processor time per run of each part, the median; with what copying its tensors takes.

    One thread computes, and its time on a processor is counted, so what else runs on the machine hardly matters.
    Args: cuts: of one of the bundle's splittings.
    """
    splitting = next(s for s in bundle.splittings if s.cut_indices == tuple(cuts))
    return tuple(_measure(Runner(load_runtime(), bundle.file_path(p.file))) for p in splitting.partitions)


def _measure(runner: Runner) -> float:
    values = random_inputs(runner.inputs)
    taken_ms = []
    for _ in range(_WARM_UP_RUNS + _RUNS):
        begun_ns = time.thread_time_ns()
        runner.run(values)
        taken_ms.append((time.thread_time_ns() - begun_ns) / 1e6)
    return statistics.median(taken_ms[_WARM_UP_RUNS:])

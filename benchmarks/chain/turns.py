"""What was measured of one case, turn by turn, and the medians over the turns."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Optional

from benchmarks.chain.figures import LoadedRun, StageAlone, StageLoad


@dataclass(frozen=True)
class Case:
    """What is measured: one model on so many boards of one kind, `used_boards` of them in the chain.

    Attributes:
        batch: images in a frame; answers_difference: the largest one to those of the images alone.
    """

    model: str
    dtype: str
    boards: int
    used_boards: int
    cores: float
    spare_core: bool
    link_mbit_s: float
    codec: str
    cuts: tuple[int, ...]
    planned_images_per_s: Optional[float]
    tls: bool = False
    batch: int = 1
    answers_difference: float = 0.0


@dataclass
class Turns:
    """What was measured of one case, one entry per turn.

    `estimated_invoke_ms` is per stage what `invoke` takes of the processor for an image, where the services do not say it.
    """

    alone: list[tuple[StageAlone, ...]] = field(default_factory=list)
    latencies_alone_ms: list[float] = field(default_factory=list)
    loaded: list[LoadedRun] = field(default_factory=list)
    replicas_images_per_s: list[float] = field(default_factory=list)
    defer_images_per_s: Optional[float] = None
    estimated_invoke_ms: Optional[tuple[float, ...]] = None


def knows_invoke_cpu(turns: Turns) -> bool:
    """Whether all services say what `invoke` takes of the processor."""
    said = [stage.invoke_cpu_ms for stages in turns.alone for stage in stages]
    said += [stage.invoke_cpu_ms for run in turns.loaded for stage in run.stages]
    return None not in said


def invoke_alone_ms(turns: Turns, cores: float) -> list[float]:
    """Processor time inside `invoke` per stage, nothing else in flight: the median of the turns.

    Where services do not say it, the estimate; without one, the share of a core of the time that computing took.
    """
    if knows_invoke_cpu(turns):
        by_stage = zip(*([stage.invoke_cpu_ms or 0.0 for stage in stages] for stages in turns.alone))
        return [statistics.median(times) for times in by_stage]
    if turns.estimated_invoke_ms is not None:
        return list(turns.estimated_invoke_ms)
    return [statistics.median(times) * cores for times in zip(*([s.compute_ms for s in t] for t in turns.alone))]


def invoke_loaded_ms(turns: Turns, alone_ms: list[float]) -> list[float]:
    """The same at full load, the mean of the frames; where services do not say it, what it is alone."""
    return medians(turns, lambda stage: stage.invoke_cpu_ms or 0.0) if knows_invoke_cpu(turns) else alone_ms


def medians(turns: Turns, figure: Callable[[StageLoad], float]) -> list[float]:
    """Per stage, over the turns."""
    return [statistics.median(values) for values in zip(*([figure(s) for s in run.stages] for run in turns.loaded))]

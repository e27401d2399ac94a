"""Measures one partition in this process: its time, its memory, its energy."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from node_service.process_memory import ProcessMemory
from node_service.processor_wait import ProcessorWait
from node_service.run_times import WARM_UP_SHARE, Clocks, RunTimes, time_runs, warm_up
from runtime import Runner, TfliteRuntime
from runtime.random_inputs import random_inputs
from transport.tensor_spec import Array


class EnergyCounter(Protocol):
    """A sensor that counts."""

    def joules(self) -> float:
        """Energy that the board has used since some moment; never falls."""


@dataclass(frozen=True)
class MeasurementRequest:
    """What is measured, and for how long.

    Attributes: runtime, delegates: for `load_runtime`, the latter as texts. sensors_root: below it sensors are looked for.
    """

    path: str
    runtime: str
    delegates: Sequence[str]
    threads: int
    confidence: float
    budget_s: float
    sensors_root: str = "/"


@dataclass(frozen=True)
class Measurement:
    """Figures of one partition, named as in `boardline.v1.Profile`. `run_j` is None without a sensor.

    `waited_share`: of the time of the warm-up and the timed runs, what other programs took.
    """

    times: RunTimes
    waited_share: float
    load_s: float
    resident_bytes: int
    working_bytes: int
    peak_bytes: int
    run_j: float | None


class PartitionMeasurement:
    """Loads and runs a partition. What it takes is given back before `measure` returns."""

    def __init__(self, runtime: TfliteRuntime, memory: ProcessMemory, counter: EnergyCounter | None) -> None:
        self._runtime = runtime
        self._memory = memory
        self._counter = counter
        self._clocks = Clocks()
        random_inputs(())  # imports numpy's generators, so that their memory is not counted as the model's

    def measure(self, request: MeasurementRequest) -> Measurement:
        """The figures.

        Raises: ModelLoadError: the runtime refuses the file. ComputeError: it refuses to run it on random inputs.
        """
        _give_memory_back()
        try:
            return self._measure(request)
        finally:
            _give_memory_back()

    def _measure(self, request: MeasurementRequest) -> Measurement:
        path, memory = Path(request.path), self._memory
        before_bytes, before_resident_bytes = memory.anonymous_bytes(), memory.resident_bytes()
        counts_peak = memory.reset_peak()
        begun_s = time.perf_counter()
        runner = Runner(self._runtime, path, request.threads)
        load_s = time.perf_counter() - begun_s
        packed_bytes = max(0, memory.anonymous_bytes() - before_bytes)
        values = random_inputs(runner.inputs)
        working_bytes = self._first_run(runner, values)
        last_s, read_bytes = self._run_counting_pages(runner, values, path)
        most_bytes = memory.peak_bytes() if counts_peak else memory.resident_bytes()
        wait = ProcessorWait()
        times, run_j = self._time(lambda: runner.run(values), last_s, request)
        return Measurement(
            times=times,
            waited_share=wait.share(),
            load_s=load_s,
            resident_bytes=packed_bytes + read_bytes,
            working_bytes=working_bytes,
            # The counter of the peak lags behind by some pages, which is all of a tiny partition.
            peak_bytes=max(packed_bytes + working_bytes, most_bytes - before_resident_bytes),
            run_j=run_j,
        )

    def _first_run(self, runner: Runner, values: list[Array]) -> int:
        """What the first run adds: the tensors between the operators, buffers of the kernels, and the outputs."""
        before_bytes = self._memory.anonymous_bytes()
        outputs = runner.run(values)
        added_bytes = self._memory.anonymous_bytes() - before_bytes
        del outputs
        return max(0, added_bytes)

    def _run_counting_pages(self, runner: Runner, values: list[Array], path: Path) -> tuple[float, int]:
        """Time of a run, and the pages of the file that it reads: packed constants are read from their packed copy."""
        forgot = self._memory.forget_references()
        begun_s = time.perf_counter()
        runner.run(values)
        run_s = time.perf_counter() - begun_s
        return run_s, self._memory.referenced_bytes(path) if forgot else self._memory.file_bytes(path)

    def _time(
        self, run: Callable[[], object], last_s: float, request: MeasurementRequest
    ) -> tuple[RunTimes, float | None]:
        if last_s < WARM_UP_SHARE * request.budget_s:
            last_s = warm_up(run, request.budget_s, self._clocks)
        left_s = (1 - WARM_UP_SHARE) * request.budget_s
        begun_j = self._counter.joules() if self._counter is not None else 0.0
        times = time_runs(run, last_s, request.confidence, left_s, self._clocks)
        run_j = (self._counter.joules() - begun_j) / times.runs if self._counter is not None else None
        return times, run_j


def _give_memory_back() -> None:
    """Returns freed memory to the system: the next model's growth would hide in it."""
    gc.collect()
    with contextlib.suppress(AttributeError, OSError):  # a C library without it
        ctypes.CDLL(None).malloc_trim(0)

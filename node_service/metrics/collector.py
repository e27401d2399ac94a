"""Turns what the service knows into metric families when Prometheus asks; between scrapes nothing is computed.

Names follow Prometheus' conventions: base units, `_total` for counters. Labels: deployments and stages that are loaded, rails of
sensors, reasons of throttling; all of them bounded.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from node_service.metrics.frame_statistics import BOUNDS_S, TIMES, FrameStatistics, StageStatistics
from node_service.power import EnergyMeter
from node_service.process_memory import ProcessMemory
from node_service.stage import Stage
from node_service.thermal import ThermalSensors

_STAGE = ("deployment", "stage")
_WHAT = {
    "wait": "From the arrival of a frame until its work began.",
    "decode": "Decoding a frame's tensors.",
    "compute": "Running the partition on a frame.",
    "encode": "Encoding the tensors that leave.",
    "send": "Handing a frame to the transport, until it was accepted.",
    "total": "From the arrival of a frame until it was handed to the transport.",
}


class StreamSource(Protocol):
    """An open stream, as far as metrics go."""

    @property
    def waiting(self) -> int:
        """Frames that have come and are not worked on."""


@dataclass(frozen=True)
class NodeSources:
    """Where the figures come from. `certificate_ends_s` gives seconds since 1970; None: plaintext."""

    version: str
    board: str
    runtime: str
    stages: Callable[[], Iterable[Stage]]
    streams: Callable[[], Sequence[StreamSource]]
    is_draining: Callable[[], bool]
    frames: FrameStatistics
    meter: EnergyMeter
    thermal: ThermalSensors
    memory: ProcessMemory
    certificate_ends_s: Callable[[], float | None]


class NodeCollector(Collector):
    """The series of one node service."""

    def __init__(self, sources: NodeSources) -> None:
        self._sources = sources

    def collect(self) -> Iterator[Metric]:
        """All families."""
        yield from self._service()
        yield from self._stages()
        yield from self._frames()
        yield from self._power()
        yield from self._heat()

    def _service(self) -> Iterator[Metric]:
        sources = self._sources
        info = {"version": sources.version, "board": sources.board, "runtime": sources.runtime}
        yield InfoMetricFamily("boardline_node", "The node service.", info)
        yield _gauge("boardline_draining", "1 while the board takes no new streams.", float(sources.is_draining()))
        streams = sources.streams()
        ends_s = sources.certificate_ends_s()
        yield _gauge("boardline_plaintext", "1 if the board speaks plaintext with its peers.", float(ends_s is None))
        if ends_s is not None:
            yield _gauge(
                "boardline_certificate_expiry_timestamp_seconds",
                "When the board's certificate ends, since 1970.",
                ends_s,
            )
        yield _gauge("boardline_streams", "Open streams through this board.", len(streams))
        yield _gauge("boardline_frames_waiting", "Frames that wait for their stage.", sum(s.waiting for s in streams))
        yield _gauge("boardline_resident_bytes", "Memory that the service keeps.", sources.memory.resident_bytes())
        used = CounterMetricFamily("boardline_cpu_seconds", "Processor time of the service, everything in it.")
        used.add_metric((), time.process_time())
        yield used

    def _stages(self) -> Iterator[Metric]:
        loaded = GaugeMetricFamily(
            "boardline_partition_bytes", "Size of the partition that a stage has loaded.", labels=(*_STAGE, "sha256")
        )
        frames = CounterMetricFamily("boardline_frames", "Frames by what became of them.", labels=(*_STAGE, "outcome"))
        for stage in self._sources.stages():
            labels = (stage.request.deployment_id, str(stage.stage_index))
            loaded.add_metric((*labels, stage.request.partition.file.sha256), stage.partition_bytes)
            frames.add_metric((*labels, "answered"), stage.frames)
            frames.add_metric((*labels, "failed"), stage.failed_frames)
        yield loaded
        yield frames

    def _frames(self) -> Iterator[Metric]:
        stages = {(k.deployment_id, str(k.stage_index)): s for k, s in self._sources.frames.stages().items()}
        for index, name in enumerate(TIMES):
            metric = HistogramMetricFamily(f"boardline_frame_{name}_seconds", _WHAT[name], labels=_STAGE)
            for labels, stage in stages.items():
                metric.add_metric(labels, _buckets(stage, index), float(stage.sums_s[index]))
            yield metric
        sums: dict[str, tuple[str, Callable[[StageStatistics], float]]] = {
            "boardline_invoke_cpu_seconds": ("Processor time in the runtime.", lambda s: s.invoke_cpu_s),
            "boardline_received_bytes": ("Messages with frames that came.", lambda s: s.received_bytes),
            "boardline_sent_bytes": ("Tensors that left, encoded.", lambda s: s.sent_bytes),
            "boardline_sent_raw_bytes": ("Tensors that left, before they were encoded.", lambda s: s.sent_raw_bytes),
        }
        for name, (what, value) in sums.items():
            counter = CounterMetricFamily(name, what, labels=_STAGE)
            for labels, stage in stages.items():
                counter.add_metric(labels, value(stage))
            yield counter

    def _power(self) -> Iterator[Metric]:
        readings = self._sources.meter.readings
        if not readings:
            return  # a board without a sensor has no series, rather than zeros
        joules = CounterMetricFamily("boardline_energy_joules", "Energy taken.", labels=("source", "rail"))
        watts = GaugeMetricFamily("boardline_power_watts", "Power taken at present.", labels=("source", "rail"))
        for reading in readings:
            joules.add_metric((reading.source, reading.rail), reading.joules)
            if reading.watts is not None:
                watts.add_metric((reading.source, reading.rail), reading.watts)
        yield joules
        yield watts
        if self._sources.meter.sees_whole_board:
            board = CounterMetricFamily("boardline_board_energy_joules", "Energy that the whole board has taken.")
            board.add_metric((), self._sources.meter.joules())
            yield board

    def _heat(self) -> Iterator[Metric]:
        thermal = self._sources.thermal
        celsius = thermal.temperature_c()
        if celsius is not None:
            yield _gauge("boardline_temperature_celsius", "The hottest zone of the processor.", celsius)
        throttled = GaugeMetricFamily(
            "boardline_throttled", "1 while the processor is slowed down.", labels=("reason",)
        )
        reasons = thermal.throttled()
        for reason in sorted(reasons):
            throttled.add_metric((reason,), 1.0)
        if not reasons:
            throttled.add_metric(("none",), 0.0)
        yield throttled


def _gauge(name: str, what: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, what, value)


def _buckets(stage: StageStatistics, index: int) -> list[tuple[str, float]]:
    """(bound, frames up to it), as the format wants them: cumulative."""
    cumulative = stage.counts[index].cumsum().tolist()
    return list(zip([*map(str, BOUNDS_S), "+Inf"], cumulative))

"""Turns what the service knows into metric families when Prometheus asks; between scrapes nothing is computed.

Names follow Prometheus' conventions: base units, `_total` for counters. Labels: deployments and stages that are loaded, rails of
sensors, reasons of throttling; all of them bounded.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.registry import Collector

from bundle.partition_files import partition_sha256
from monitoring.histograms import histogram_family
from node_service.metrics.frame_statistics import TIMES, FrameStatistics, StageKey, added_up
from node_service.power import EnergyMeter
from node_service.process_memory import ProcessMemory
from node_service.stage import Stage
from node_service.thermal import ThermalSensors
from transport.tensor_codec import codec_name

_STAGE = ("deployment", "stage")
_NS_PER_S = 1e9
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


class StreamSources(Protocol):
    """All of a board's streams."""

    def __iter__(self) -> Iterator[StreamSource]:
        """Those that are open."""

    @property
    def endings(self) -> Mapping[str, int]:
        """How many there have been, by how they ended."""


@dataclass(frozen=True)
class NodeSources:
    """Where the figures come from. `certificate_ends_s` gives seconds since 1970; None: plaintext."""

    version: str
    board: str
    runtime: str
    stages: Callable[[], Iterable[Stage]]
    streams: StreamSources
    is_draining: Callable[[], bool]
    frames: FrameStatistics
    meter: EnergyMeter
    thermal: ThermalSensors
    memory: ProcessMemory
    machine_memory: Callable[[], tuple[int, int]]
    certificate_ends_s: Callable[[], float | None]
    frequencies: Callable[[], Mapping[str, float]]
    calls: Collector


class NodeCollector(Collector):
    """The series of one node service."""

    def __init__(self, sources: NodeSources) -> None:
        self._sources = sources

    def collect(self) -> Iterator[Metric]:
        """All families."""
        yield from self._service()
        yield from self._stages()
        yield from self._frames()
        yield from self._shares()
        yield from self._power()
        yield from self._heat()
        yield from self._sources.calls.collect()

    def _service(self) -> Iterator[Metric]:
        sources = self._sources
        info = {"version": sources.version, "board": sources.board, "runtime": sources.runtime}
        yield InfoMetricFamily("boardline_node", "The node service.", info)
        yield _gauge("boardline_draining", "1 while the board takes no new streams.", float(sources.is_draining()))
        streams = list(sources.streams)
        ends_s = sources.certificate_ends_s()
        yield _gauge("boardline_plaintext", "1 if the board speaks plaintext with its peers.", float(ends_s is None))
        if ends_s is not None:
            yield _gauge(
                "boardline_certificate_expiry_timestamp_seconds",
                "When the board's certificate ends, since 1970.",
                ends_s,
            )
        yield _gauge("boardline_streams", "Open streams through this board.", len(streams))
        ended = CounterMetricFamily("boardline_streams_ended", "Streams that ended, by how.", labels=("how",))
        for how, times in sources.streams.endings.items():
            ended.add_metric((how,), times)
        yield ended
        yield _gauge("boardline_frames_waiting", "Frames that wait for their stage.", sum(s.waiting for s in streams))
        yield _gauge("boardline_resident_bytes", "Memory that the service keeps.", sources.memory.resident_bytes())
        total_bytes, available_bytes = sources.machine_memory()
        if total_bytes:
            yield _gauge(
                "boardline_memory_total_bytes", "Memory of the board, or its limit for the service.", total_bytes
            )
            yield _gauge("boardline_memory_available_bytes", "Of it, what can still be had.", available_bytes)
        used = CounterMetricFamily("boardline_cpu_seconds", "Processor time of the service, everything in it.")
        used.add_metric((), time.process_time())
        yield used

    def _stages(self) -> Iterator[Metric]:
        loaded = InfoMetricFamily("boardline_partition", "What a stage has loaded.", labels=_STAGE)
        size = GaugeMetricFamily("boardline_partition_bytes", "Size of a stage's partition.", labels=_STAGE)
        memory = GaugeMetricFamily(
            "boardline_partition_memory_bytes",
            "What a stage takes at the least: its file and its arena.",
            labels=_STAGE,
        )
        frames = CounterMetricFamily("boardline_frames", "Frames by what became of them.", labels=(*_STAGE, "outcome"))
        for stage in self._sources.stages():
            labels, partition = _labels(stage), stage.request.partition
            loaded.add_metric(
                labels,
                {
                    "sha256": partition_sha256(partition),
                    "first_operator": str(partition.start_op),
                    "last_operator": str(partition.stop_op - 1),
                },
            )
            size.add_metric(labels, stage.partition_bytes)
            if stage.need_bytes:
                memory.add_metric(labels, stage.need_bytes)
            frames.add_metric((*labels, "answered"), stage.frames)
            frames.add_metric((*labels, "failed"), stage.failed_frames)
        yield from (loaded, size, memory, frames)

    def _frames(self) -> Iterator[Metric]:
        frames = self._sources.frames
        stages = frames.stages()
        rows = {(key.deployment_id, str(key.stage_index)): totals for key, totals in stages.items()}
        for name, what in _WHAT.items():
            yield histogram_family(f"boardline_frame_{name}_seconds", what, _STAGE, rows.items(), TIMES.index(name))
        invoked = CounterMetricFamily("boardline_invoke_cpu_seconds", "Processor time in the runtime.", labels=_STAGE)
        received = CounterMetricFamily("boardline_received_bytes", "Messages with frames that came.", labels=_STAGE)
        coded = (*_STAGE, "codec")
        sent = CounterMetricFamily("boardline_sent_bytes", "Tensors that left, encoded.", labels=coded)
        raw = CounterMetricFamily(
            "boardline_sent_raw_bytes", "Tensors that left, before they were encoded.", labels=coded
        )
        for labels, totals in rows.items():
            invoked.add_metric(labels, added_up(totals, "invoke_cpu_ns") / _NS_PER_S)
            received.add_metric(labels, added_up(totals, "received_bytes"))
        for key, totals in stages.items():
            for codec, (sent_bytes, raw_bytes) in frames.sent_bytes(key, totals).items():
                link = (key.deployment_id, str(key.stage_index), codec_name(codec))
                sent.add_metric(link, sent_bytes)
                raw.add_metric(link, raw_bytes)
        yield from (invoked, received, sent, raw)

    def _shares(self) -> Iterator[Metric]:
        totals = self._sources.frames.stages()
        place = InfoMetricFamily("boardline_share", "This board's place in a group that shares a stage.", labels=_STAGE)
        sent = CounterMetricFamily(
            "boardline_pieces_sent_bytes", "Pieces of frames that went to other boards of the group.", labels=_STAGE
        )
        received = CounterMetricFamily(
            "boardline_pieces_received_bytes", "Pieces of frames that came from them.", labels=_STAGE
        )
        rows = {}
        for stage in self._sources.stages():
            if not stage.request.partition.HasField("share"):
                continue
            labels, member = _labels(stage), stage.request.partition.share.member
            place.add_metric(labels, {"leader_stage": str(stage.stage_index - member), "member": str(member)})
            of_stage = totals.get(StageKey(stage.request.deployment_id, stage.stage_index))
            if of_stage is not None:
                rows[labels] = of_stage
                sent.add_metric(labels, added_up(of_stage, "pieces_sent_bytes"))
                received.add_metric(labels, added_up(of_stage, "pieces_received_bytes"))
        what, time_index = "Waiting for pieces from other boards of the group.", TIMES.index("pieces_wait")
        yield histogram_family("boardline_frame_pieces_wait_seconds", what, _STAGE, rows.items(), time_index)
        yield from (place, sent, received)

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
        clock = GaugeMetricFamily("boardline_cpu_frequency_hertz", "Present clock of each core.", labels=("cpu",))
        for core, hertz in self._sources.frequencies().items():
            clock.add_metric((core,), hertz)
        if clock.samples:
            yield clock
        throttled = GaugeMetricFamily(
            "boardline_throttled", "1 while the processor is slowed down.", labels=("reason",)
        )
        reasons = thermal.throttled()
        for reason in sorted(reasons):
            throttled.add_metric((reason,), 1.0)
        if not reasons:
            throttled.add_metric(("none",), 0.0)
        yield throttled


def _labels(stage: Stage) -> tuple[str, str]:
    return stage.request.deployment_id, str(stage.stage_index)


def _gauge(name: str, what: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, what, value)

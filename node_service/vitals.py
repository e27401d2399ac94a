"""What the board itself feels: energy, heat, and what its stages' frames have taken so far."""

from __future__ import annotations

import time
from dataclasses import dataclass

from node_service.metrics.frame_statistics import TIMES, FrameStatistics, StageKey, added_up
from node_service.power import EnergyMeter
from node_service.thermal import ThermalSensors
from protos.v1.control_plane_pb2 import Description, LoadedStage

_NS_PER_S = 1e9


@dataclass(frozen=True)
class Vitals:
    """Reads sensors and statistics when somebody asks."""

    frames: FrameStatistics
    meter: EnergyMeter
    thermal: ThermalSensors

    def add_to(self, description: Description) -> None:
        """Completes a description, and the stages in it."""
        meter, thermal = self.meter, self.thermal
        if meter.sees_whole_board:
            description.energy_j = meter.joules()
            power_w = meter.watts()
            if power_w is not None:
                description.power_w = power_w
        celsius = thermal.temperature_c()
        if celsius is not None:
            description.temperature_c = celsius
        description.throttled.extend(sorted(thermal.throttled()))
        description.service_cpu_s = time.process_time()
        known = self.frames.stages()
        for stage in description.stages:
            totals = known.get(StageKey(stage.deployment_id, stage.stage_index))
            if totals is not None:
                sums_s = dict(zip(TIMES, totals.sums_s.tolist()))
                stage.MergeFrom(
                    LoadedStage(
                        wait_s=sums_s["wait"],
                        decode_s=sums_s["decode"],
                        compute_s=sums_s["compute"],
                        pieces_wait_s=sums_s["pieces_wait"],
                        encode_s=sums_s["encode"],
                        send_s=sums_s["send"],
                        invoke_cpu_s=added_up(totals, "invoke_cpu_ns") / _NS_PER_S,
                        received_bytes=added_up(totals, "received_bytes"),
                        sent_bytes=added_up(totals, "sent_bytes"),
                        sent_raw_bytes=added_up(totals, "sent_raw_bytes"),
                        frames_left=totals.events,
                    )
                )

"""`python -m node_service.profiling_worker`: measures partitions, one JSON line in, one JSON line out.

A process of its own, because a malformed model can crash the runtime. It ends when its standard input does. Nothing here may
import grpc: its threads and its memory would be measured too.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from node_service.partition_measurement import MeasurementRequest, PartitionMeasurement
from node_service.power import EnergyMeter, find_sensors
from node_service.process_memory import ProcessMemory
from node_service.worker_requests import answer_requests, offer_to_the_oom_killer
from runtime import Delegate, TfliteRuntimeError, load_runtime


def main() -> None:
    """Answers requests until the service is gone or wants no more."""
    offer_to_the_oom_killer()
    measurements: dict[tuple[str, ...], PartitionMeasurement] = {}
    answer_requests(lambda request: _answer(measurements, MeasurementRequest(**request)))


def _answer(measurements: dict[tuple[str, ...], PartitionMeasurement], request: MeasurementRequest) -> dict[str, Any]:
    try:
        key = (request.runtime, *request.delegates)
        if key not in measurements:
            runtime = load_runtime(request.runtime, list(map(Delegate.parse, request.delegates)))
            measurements[key] = PartitionMeasurement(runtime, ProcessMemory(), _counter(request.sensors_root))
        return {"measurement": dataclasses.asdict(measurements[key].measure(request))}
    except TfliteRuntimeError as error:
        return {"error": type(error).__name__, "message": str(error)}


def _counter(root: str) -> EnergyMeter | None:
    """What counts the energy of the whole board; None where nothing does."""
    meter = EnergyMeter(find_sensors(Path(root)))
    if not meter.sees_whole_board:
        return None
    meter.start()
    return meter


if __name__ == "__main__":
    main()

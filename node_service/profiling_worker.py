"""`python -m node_service.profiling_worker`: measures partitions, one JSON line in, one JSON line out.

A process of its own, because a malformed model can crash the runtime. It ends when its standard input does. Nothing here may
import grpc: its threads and its memory would be measured too.
"""

from __future__ import annotations

import dataclasses
import json
import os
import queue
import sys
import threading
from pathlib import Path
from typing import Any

from node_service.partition_measurement import MeasurementRequest, PartitionMeasurement
from node_service.power import EnergyMeter, find_sensors
from node_service.process_memory import ProcessMemory
from runtime import TfliteRuntimeError, load_runtime

_SELF_OOM_SCORE = Path("/proc/self/oom_score_adj")
_FIRST_CHOICE = "1000"


def main() -> None:
    """Answers requests until the service is gone or wants no more."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what the runtime prints goes to the log, not between the answers
    _offer_to_the_oom_killer()
    measurements: dict[str, PartitionMeasurement] = {}
    requests = _requests()
    while True:
        answer = _answer(measurements, MeasurementRequest(**json.loads(requests.get())))
        print(json.dumps(answer), file=answers, flush=True)


def _answer(measurements: dict[str, PartitionMeasurement], request: MeasurementRequest) -> dict[str, Any]:
    try:
        if request.runtime not in measurements:
            runtime = load_runtime(request.runtime)
            measurements[request.runtime] = PartitionMeasurement(runtime, ProcessMemory(), _counter())
        return {"measurement": dataclasses.asdict(measurements[request.runtime].measure(request))}
    except TfliteRuntimeError as error:
        return {"error": type(error).__name__, "message": str(error)}


def _counter() -> EnergyMeter | None:
    """What counts the energy of the whole board; None where nothing does."""
    meter = EnergyMeter(find_sensors())
    if not meter.sees_whole_board:
        return None
    meter.start()
    return meter


def _requests() -> queue.Queue[str]:
    """Lines of standard input. At its end the process ends, even in the middle of a measurement."""
    lines: queue.Queue[str] = queue.Queue(maxsize=1)  # the service asks again only after an answer

    def read() -> None:
        for line in sys.stdin:
            lines.put(line)
        os._exit(0)

    threading.Thread(target=read, daemon=True).start()
    return lines


def _offer_to_the_oom_killer() -> None:
    # A model too big for the board should cost the measurement, not the service.
    try:
        _SELF_OOM_SCORE.write_text(_FIRST_CHOICE)
    except OSError:
        print("the out-of-memory killer may take the service instead of the measurement", file=sys.stderr)


if __name__ == "__main__":
    main()

"""What stages that were tried in service say about those that were not."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from partitioning.planning import RELAY_SHARE
from planner.board_profiles import BoardRecord
from planner.links import TransportCost
from planner.model import PlannerModel, Range

# Two unknowns; one stage more, or the fit goes through the noise.
_FEWEST_STAGES = 3


@dataclass(frozen=True)
class ServiceFit:
    """Factors of what was measured alone: of a partition's run, of a frame's fixed cost, and of the cost of its bytes."""

    run: float = 1.0
    frame: float = 1.0
    byte: float = 1.0


@dataclass(frozen=True)
class _Tried:
    run_s: float
    invoke_s: float
    outside_s: float
    frame_s: float
    bytes_s: float


def fit_service(
    model: PlannerModel, records: Mapping[str, BoardRecord], transport: Mapping[str, TransportCost]
) -> ServiceFit:
    """The factors that bring what was measured alone closest to the stages in service, least squares.

        invoke  = run * (the partition's run alone)
        outside = frame * frame_cpu_s * (1 + RELAY_SHARE) + byte * (what the bytes of frames and of answers cost alone)

    All boards share them, since few stages are tried on each: a run has warm caches alone, a probe's frames come faster than a
    stage's, and wake more threads. The last stage passes no answers on.
    """
    tried = list(_tried(model, records, transport))
    if not tried:
        return ServiceFit()
    run = sum(one.invoke_s for one in tried) / sum(one.run_s for one in tried)
    outside_s = np.array([one.outside_s for one in tried])
    known_s = np.array([(one.frame_s, one.bytes_s) for one in tried])
    frame, byte = -1.0, -1.0
    if len(tried) >= _FEWEST_STAGES:
        frame, byte = map(float, np.linalg.lstsq(known_s, outside_s, rcond=None)[0])
    if frame <= 0 or byte <= 0:
        frame, byte = max(0.0, float(np.sum(outside_s - known_s[:, 1]) / np.sum(known_s[:, 0]))), 1.0
    return ServiceFit(run, frame, byte)


def _tried(
    model: PlannerModel, records: Mapping[str, BoardRecord], transport: Mapping[str, TransportCost]
) -> Iterable[_Tried]:
    for name, record in records.items():
        for ops, trials in record.in_service.items():
            cpu_s = statistics.median(trial.cpu_s for trial in trials)
            invoke_s = statistics.median(trial.invoke_cpu_s for trial in trials)
            frame_s, bytes_s = _moving_s(model, ops, transport[name])
            yield _Tried(_run_cpu_s(record, ops, records), invoke_s, cpu_s - invoke_s, frame_s, bytes_s)


def _run_cpu_s(record: BoardRecord, ops: Range, records: Mapping[str, BoardRecord]) -> float:
    """Of the partition's run alone: as this board measured it, else as the boards of its group did, for whom it is tried here."""
    if ops in record.profiles:
        return record.profiles[ops].run_cpu_s
    group = [other for other in records.values() if other.board.group == record.board.group and ops in other.profiles]
    return statistics.median(other.profiles[ops].run_cpu_s for other in group)


def _moving_s(model: PlannerModel, ops: Range, cost: TransportCost) -> tuple[float, float]:
    """Processor seconds for a stage's frames, measured alone: fixed ones, and those for bytes; with the answers passed on."""
    end = model.positions[-1]
    first, last = ops
    is_last = last == end
    answer_bytes = 0 if is_last else model.crossing_bytes(end)
    received_bytes = model.crossing_bytes(first) + answer_bytes
    sent_bytes = model.crossing_bytes(last) + answer_bytes
    frame_s = cost.frame_cpu_s * (1.0 if is_last else 1.0 + RELAY_SHARE)
    return frame_s, received_bytes * cost.receive_cpu_s_per_byte + sent_bytes * cost.send_cpu_s_per_byte

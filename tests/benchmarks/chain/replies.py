"""Replies as the dispatcher reports them, and turns of a case, without boards."""

from __future__ import annotations

from benchmarks.chain.figures import LoadedRun, StageAlone, StageLoad
from benchmarks.chain.turns import Case, Turns
from dispatcher_client.chain import ReplyReport
from protos.v1.data_plane_pb2 import StageTiming


def reply(*timings: StageTiming, latency_s: float = 0.01) -> ReplyReport:
    return ReplyReport(0, 1, 0.0, latency_s, timings, 100, 40, "model-0")


def stage_load(board: str, **changes: object) -> StageLoad:
    """10 ms of the processor, 8 of them in invoke; 1 MB in, 0.5 MB out."""
    fields = {
        "service_cpu_ms": 10.0, "invoke_cpu_ms": 8.0, "received_bytes": 1e6, "sent_bytes": 5e5, "raw_bytes": 6e5,
        "codecs": ("lz4",), "reason": "",
    }  # fmt: skip
    return StageLoad(board=board, **{**fields, **changes})  # type: ignore[arg-type]


def run_of(rate: float, *stages: StageLoad) -> LoadedRun:
    return LoadedRun(
        images_per_s=rate,
        images_per_frame=1.0,
        frames=100,
        window=4,
        latencies_ms=(10.0, 20.0, 30.0),
        reply_bytes=1000.0,
        stages=stages,
    )


def turns_of(rate: float, *stages: StageLoad, invoke_ms: float | None = 7.0) -> Turns:
    """One turn."""
    alone = tuple(StageAlone(stage.board, invoke_ms, 30.0) for stage in stages)
    return Turns(alone=[alone], latencies_alone_ms=[5.0], loaded=[run_of(rate, *stages)])


CASE = Case("Net", "float32", 2, 2, 0.2, False, 1000.0, "lz4", (7,), 30.0)

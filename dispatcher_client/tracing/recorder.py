"""Collects reports of answers, and writes them as a trace that Perfetto and Chrome show.

The format is the Trace Event Format's JSON. The dispatcher and each stage are processes; a stage has a track for the thread that
decodes and computes, and one for coding what leaves. So are the other boards of a group, which compute beside their leader's stage.
Frames that wait overlap, so they are asynchronous events; arrows follow a frame from stage to stage.
"""

from __future__ import annotations

import json
import os
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from dispatcher_client.chain import ReplyReport
from dispatcher_client.deployment import DeployedStage
from dispatcher_client.errors import InputError
from dispatcher_client.tracing.timeline import FrameTimeline, StageTimeline, timelines

# A frame of eight stages takes 4 kB here and 8 kB in the file (measured).
MOST_FRAMES = 10_000
_US_PER_S = 1e6
_DISPATCHER = 1
_WORK, _CODING = 1, 2


class TraceRecorder:
    """Keeps the last reports; give it to a Dispatcher as `on_reply`."""

    def __init__(self, most_frames: int = MOST_FRAMES) -> None:
        self.reports: deque[ReplyReport] = deque(maxlen=most_frames)

    def __call__(self, report: ReplyReport) -> None:
        """Keeps the report."""
        self.reports.append(report)

    def write(self, path: str | os.PathLike[str], stages: Sequence[DeployedStage]) -> int:
        """See `write_trace`."""
        return write_trace(list(self.reports), path, stages)


def write_trace(reports: Iterable[ReplyReport], path: str | os.PathLike[str], stages: Sequence[DeployedStage]) -> int:
    """Writes what is known of answers; how many frames there are in it.

    Args: stages: which board served which, as `Dispatcher.stages` gives it.
    Raises: InputError: the file cannot be written.
    """
    found = timelines(reports)
    boards = {(s.placement.chain_index, s.placement.stage_index): s.placement.board.name for s in stages}
    trace = {"displayTimeUnit": "ms", "traceEvents": list(_events(found, boards)), "otherData": _about(found)}
    try:
        with open(path, "w", encoding="utf-8") as file:
            json.dump(trace, file)
    except OSError as error:
        raise InputError(f"the trace cannot be written to {os.fspath(path)}: {error.strerror or error}.") from error
    return len(found)


def _about(found: Sequence[FrameTimeline]) -> dict[str, str]:
    if not found:
        return {}
    worst_us = max(b.uncertainty_s for f in found for s in f.stages for b in s.boards) * _US_PER_S
    return {"clocks": f"boards' times are aligned by the fastest frames, and off by {worst_us:.0f} us at the most"}


def _events(found: Sequence[FrameTimeline], boards: dict[tuple[int, int], str]) -> Iterator[dict[str, Any]]:
    yield _named("process_name", _DISPATCHER, 0, "dispatcher")
    yield _sorted(_DISPATCHER, 0)
    leaders = {
        (frame.report.chain_index, board.stage_index): stage.stage_index
        for frame in found
        for stage in frame.stages
        for board in stage.boards
    }
    processes = {key: place for place, key in enumerate(sorted(leaders), start=_DISPATCHER + 1)}
    for key, place in processes.items():
        chain, index = key
        name = f"chain {chain} stage {index} on {boards.get(key, 'another board')}"
        is_leader = leaders[key] == index
        yield _named("process_name", place, 0, name if is_leader else f"{name}, beside stage {leaders[key]}")
        yield _sorted(place, place)
        yield _named("thread_name", place, _WORK, "decode and compute" if is_leader else "compute")
        if is_leader:
            yield _named("thread_name", place, _CODING, "encode")
    if not found:
        return
    zero_s = found[0].sent_s
    for frame in found:
        for event in _frame_events(frame, processes):
            event["ts"] = (event["ts"] - zero_s) * _US_PER_S
            if "dur" in event:
                event["dur"] *= _US_PER_S
            yield event


def _frame_events(frame: FrameTimeline, processes: dict[tuple[int, int], int]) -> Iterator[dict[str, Any]]:
    report = frame.report
    name = f"frame {report.request_id}"
    number = f"{report.deployment_id}/{report.chain_index}/{report.request_id}"
    told = {"request": report.request_id, "chain": report.chain_index, "deployment": report.deployment_id}
    whole = {"cat": "request", "name": name, "id": number, "pid": _DISPATCHER, "tid": 0}
    yield {**whole, "ph": "b", "ts": frame.sent_s, "args": told}
    last = len(frame.stages) - 1
    for place, stage in enumerate(frame.stages):
        pid, timing = processes[report.chain_index, stage.stage_index], stage.timing
        waiting = {"cat": "wait", "name": f"{name} waits", "id": number, "pid": pid, "tid": _WORK}
        yield {**waiting, "ph": "b", "ts": stage.arrived_s}
        yield {**waiting, "ph": "e", "ts": stage.decoding_s}
        yield _span("decode", pid, _WORK, stage.decoding_s, stage.computing_s, told)
        for board in stage.boards:
            yield from _computing(board, processes[report.chain_index, board.stage_index], told)
        sent = {**told, "sent_bytes": timing.sent_bytes, "raw_bytes": timing.sent_raw_bytes}
        yield _span("encode", pid, _CODING, stage.encoding_s, stage.ready_s, sent)
        if last:
            flow = {"cat": "way", "name": "way", "id": number, "pid": pid, "tid": _WORK, "ts": stage.computing_s}
            yield {**flow, "ph": "s"} if place == 0 else {**flow, "ph": "f" if place == last else "t", "bp": "e"}
    yield {**whole, "ph": "e", "ts": frame.answered_s}


def _computing(board: StageTimeline, pid: int, told: dict[str, Any]) -> Iterator[dict[str, Any]]:
    timing = board.timing
    computed = {**told, "invoke_cpu_ms": timing.invoke_cpu_ns / 1e6}
    yield _span("compute", pid, _WORK, board.computing_s, board.waiting_s, computed)
    if timing.pieces_wait_ns:
        pieces = {"pieces_sent_bytes": timing.pieces_sent_bytes, "pieces_received_bytes": timing.pieces_received_bytes}
        yield _span("wait for pieces", pid, _WORK, board.waiting_s, board.computed_s, {**told, **pieces})


def _span(name: str, pid: int, tid: int, begun_s: float, ended_s: float, args: dict[str, Any]) -> dict[str, Any]:
    return {
        "ph": "X",
        "cat": "stage",
        "name": name,
        "pid": pid,
        "tid": tid,
        "ts": begun_s,
        "dur": ended_s - begun_s,
        "args": args,
    }


def _named(what: str, pid: int, tid: int, name: str) -> dict[str, Any]:
    return {"ph": "M", "name": what, "pid": pid, "tid": tid, "ts": 0, "args": {"name": name}}


def _sorted(pid: int, place: int) -> dict[str, Any]:
    return {"ph": "M", "name": "process_sort_index", "pid": pid, "tid": 0, "ts": 0, "args": {"sort_index": place}}

"""Traces: boards' clocks are put on one scale, and what is shown is what happened."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bundle import Bundle
from dispatcher_client import Dispatcher
from dispatcher_client.chain import ReplyReport
from dispatcher_client.errors import InputError
from dispatcher_client.tracing import TraceRecorder, timelines
from examples.local_boards import LocalBoards
from protos.v1.data_plane_pb2 import StageTiming
from tests.dispatcher_client.test_groups import group_bundle, group_plan
from tests.dispatcher_client.whole_model import random_inputs

FRAMES = 40
_MS = 1e-3


def report(
    request_id: int, sent_s: float, ways_s: list[float], works_s: list[float], clocks_s: list[float]
) -> ReplyReport:
    """A frame: `ways_s` on its links, the last of them back, and `works_s` in stages whose clocks are ahead by `clocks_s`."""
    now_s, timings = sent_s, []
    for index, (way_s, work_s, clock_s) in enumerate(zip(ways_s, works_s, clocks_s)):
        now_s += way_s
        arrived_ns = round((now_s + clock_s) * 1e9)
        timings.append(StageTiming(stage_index=index, arrived_ns=arrived_ns, ready_ns=round(work_s * 1e9)))
        now_s += work_s
    now_s += ways_s[-1]
    return ReplyReport(0, request_id, sent_s, now_s - sent_s, tuple(timings), 1, 1, "model-1")


@given(
    clocks_s=st.lists(st.floats(1e3, 1e6), min_size=1, max_size=4),
    data=st.data(),
)
def test_no_instant_is_further_off_than_is_told(clocks_s: list[float], data: st.DataObject) -> None:
    ways = st.floats(0.0001, 0.05)
    n = len(clocks_s)
    frames = data.draw(
        st.lists(
            st.tuples(st.lists(ways, min_size=n + 1, max_size=n + 1), st.lists(ways, min_size=n, max_size=n)),
            min_size=1,
            max_size=5,
        )
    )
    reports = [report(i, 10 + i * 0.01, w, c, clocks_s) for i, (w, c) in enumerate(frames)]
    for timeline, (ways_s, works_s) in zip(timelines(reports), frames):
        now_s = timeline.sent_s
        assert timeline.uncertainty_s <= min(sum(w) for w, _ in frames) + 1e-6
        for stage, way_s, work_s in zip(timeline.stages, ways_s, works_s):
            now_s += way_s
            assert abs(stage.arrived_s - now_s) <= timeline.uncertainty_s + 1e-6
            now_s += work_s
            assert abs(stage.ready_s - now_s) <= timeline.uncertainty_s + 1e-6
        # Cause comes before effect, on the scale that was found, too.
        instants = [timeline.sent_s]
        for stage in timeline.stages:
            instants += [stage.arrived_s, stage.ready_s]
        instants.append(timeline.answered_s)
        assert all(later - earlier > -1e-6 for earlier, later in zip(instants, instants[1:]))


@given(
    clock_s=st.floats(-1e6, 1e6),
    frames=st.lists(st.tuples(*[st.floats(0.0001, 0.05)] * 3), min_size=1, max_size=5),
)
def test_board_beside_a_leader_is_no_further_off_than_is_told(
    clock_s: float, frames: list[tuple[float, float, float]]
) -> None:
    """The leader waits and decodes for 2 ms, and encodes for 3; between, the other board gets pieces, works and sends others."""
    reports = []
    for number, (there_s, work_s, back_s) in enumerate(frames):
        together_s = there_s + work_s + back_s
        alone = report(number, 10 + number, [_MS, _MS], [together_s + 5 * _MS], [1e6])
        (leader,) = alone.timings
        leader.wait_ns = leader.decode_ns = 1_000_000
        leader.encode_ns = 3_000_000
        begun_s = 10 + number + _MS + 2 * _MS + there_s
        timing = StageTiming(stage_index=1, member=1, compute_ns=1000, pieces_wait_ns=500)
        timing.arrived_ns, timing.ready_ns = round((begun_s + clock_s + 2e6) * 1e9), round(work_s * 1e9)
        reports.append(replace(alone, timings=(leader, timing)))
    fastest_s = min(there_s for there_s, *_ in frames) + min(back_s for *_, back_s in frames)
    for timeline, (there_s, work_s, _) in zip(timelines(reports), frames):
        (stage,) = timeline.stages
        (other,) = stage.others
        begun_s = timeline.sent_s + 3 * _MS + there_s
        assert stage.uncertainty_s == timeline.uncertainty_s <= other.uncertainty_s
        assert other.uncertainty_s <= timeline.uncertainty_s + fastest_s / 2 + 1e-6
        assert abs(other.arrived_s - begun_s) <= other.uncertainty_s + 1e-6
        assert other.ready_s - other.arrived_s == pytest.approx(work_s, abs=1e-6)
        assert stage.computing_s - 1e-6 < other.arrived_s < other.ready_s < stage.encoding_s + 1e-6
        assert other.waiting_s - other.computing_s == pytest.approx(1e-6, abs=1e-7)
        assert other.computed_s - other.waiting_s == pytest.approx(5e-7, abs=1e-7)


def test_equal_ways_are_found_exactly_with_one_frame_of_each_kind() -> None:
    """Where the fastest way of every link is equally long there and back, nothing is off."""
    clocks_s = [500.0, 7000.0]
    reports = [report(i, i * 0.01, [1 * _MS, 1 * _MS, 2 * _MS], [5 * _MS, 3 * _MS], clocks_s) for i in range(3)]
    for timeline in timelines(reports):
        first, second = timeline.stages
        assert first.arrived_s - timeline.sent_s == pytest.approx(1 * _MS, abs=1e-6)
        assert second.arrived_s - first.ready_s == pytest.approx(1 * _MS, abs=1e-6)


def test_drifting_clocks_are_aligned_again_and_again() -> None:
    drift = 50e-6
    reports = [report(i, i * 0.5, [1 * _MS, 1 * _MS], [5 * _MS], [500.0 + i * 0.5 * drift]) for i in range(240)]
    for timeline in timelines(reports):
        assert timeline.stages[0].arrived_s - timeline.sent_s == pytest.approx(1 * _MS, abs=0.5 * _MS)


def test_boards_without_times_are_left_out() -> None:
    old = ReplyReport(0, 1, 0.0, 0.01, (StageTiming(compute_ns=1),), 1, 1, "model-1")
    assert timelines([old]) == []


def spans(events: list[dict[str, Any]], name: str) -> Iterator[tuple[int, int, float, float]]:
    for event in events:
        if event["ph"] == "X" and event["name"] == name:
            yield event["pid"], event["args"]["request"], event["ts"], event["ts"] + event["dur"]


def test_trace_of_a_run_shows_the_pipeline(
    boards: LocalBoards, zoo_bundle: Callable[..., Bundle], tmp_path: Path
) -> None:
    """The boards are processes of one machine: their clocks are the same, and so what the alignment finds can be judged."""
    bundle = zoo_bundle("residual", "float32", 3)
    recorder = TraceRecorder()
    with Dispatcher(bundle, boards.named, check_sample=False, window=6, on_reply=recorder) as chain:
        for _ in chain.stream([random_inputs(bundle, 0)] * FRAMES):
            pass
        written = recorder.write(tmp_path / "trace.json", chain.stages)
    assert written == FRAMES
    trace = json.loads((tmp_path / "trace.json").read_text())
    events = trace["traceEvents"]
    names = {e["pid"]: e["args"]["name"] for e in events if e["ph"] == "M" and e["name"] == "process_name"}
    assert sorted(names.values()) == [
        "chain 0 stage 0 on board1",
        "chain 0 stage 1 on board2",
        "chain 0 stage 2 on board3",
        "dispatcher",
    ]
    by_process: dict[int, list[tuple[float, float]]] = defaultdict(list)
    by_frame: dict[int, list[tuple[float, float]]] = defaultdict(list)
    for pid, request, begun_us, ended_us in spans(events, "compute"):
        by_process[pid].append((begun_us, ended_us))
        by_frame[request].append((begun_us, ended_us))
    assert len(by_frame) == FRAMES
    for computed in by_process.values():  # one thread computes
        computed.sort()
        assert all(before[1] <= after[0] + 1 for before, after in zip(computed, computed[1:]))
    for computed in by_frame.values():  # one stage after the other
        assert all(before[1] <= after[0] for before, after in zip(computed, computed[1:]))
    begun = [e["id"] for e in events if e["ph"] == "b" and e["cat"] == "request"]
    ended = [e["id"] for e in events if e["ph"] == "e" and e["cat"] == "request"]
    assert sorted(begun) == sorted(ended)
    assert len(set(begun)) == FRAMES
    assert len([e for e in events if e["ph"] == "s"]) == len([e for e in events if e["ph"] == "f"]) == FRAMES
    for timeline in timelines(recorder.reports):
        assert timeline.uncertainty_s < 0.05
        for stage, timing in zip(timeline.stages, timeline.report.timings):
            assert abs(stage.arrived_s - timing.arrived_ns / 1e9) <= timeline.uncertainty_s


def test_trace_of_a_group_shows_what_each_board_computes_and_waits_for(boards: LocalBoards, tmp_path: Path) -> None:
    """Clocks are the same, as above."""
    bundle = group_bundle(tmp_path / "parts", "residual", "float32", (1, 1, 1))
    recorder = TraceRecorder()
    plan = group_plan(bundle, *(board.name for board in boards.boards))
    with Dispatcher(bundle, boards.named, plan=plan, check_sample=False, on_reply=recorder) as chain:
        for _ in chain.stream([random_inputs(bundle, 0)] * FRAMES):
            pass
        assert recorder.write(tmp_path / "trace.json", chain.stages) == FRAMES
    events = json.loads((tmp_path / "trace.json").read_text())["traceEvents"]
    names = {e["args"]["name"]: e["pid"] for e in events if e["ph"] == "M" and e["name"] == "process_name"}
    assert sorted(names) == [
        "chain 0 stage 0 on board1",
        "chain 0 stage 1 on board2, beside stage 0",
        "chain 0 stage 2 on board3, beside stage 0",
        "dispatcher",
    ]
    for name in ("compute", "wait for pieces"):
        shown = [(pid, request) for pid, request, begun_us, ended_us in spans(events, name) if ended_us > begun_us]
        of_boards = set(names.values()) - {names["dispatcher"]}
        assert sorted(shown) == sorted((pid, r.request_id) for pid in of_boards for r in recorder.reports)
    waits = [e for e in events if e["ph"] == "X" and e["name"] == "wait for pieces"]
    sent, received = (sum(e["args"][f"pieces_{way}_bytes"] for e in waits) for way in ("sent", "received"))
    assert sent == received > 0
    for timeline in timelines(recorder.reports):
        (stage,) = timeline.stages
        assert [board.timing for board in stage.boards] == list(timeline.report.timings)
        for board in stage.boards:
            assert abs(board.arrived_s - board.timing.arrived_ns / 1e9) <= board.uncertainty_s
            assert stage.computing_s <= board.arrived_s or board is stage
            assert board.computed_s <= stage.encoding_s


def test_only_the_last_frames_are_kept(tmp_path: Path) -> None:
    recorder = TraceRecorder(most_frames=3)
    for i in range(10):
        recorder(report(i, i * 0.01, [_MS, _MS], [_MS], [0.0]))
    assert recorder.write(tmp_path / "trace.json", []) == 3
    with pytest.raises(InputError, match="cannot be written"):
        recorder.write(tmp_path / "nowhere" / "trace.json", [])

"""Spans of real frames, as OpenTelemetry's own SDK takes them."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from bundle import Bundle
from dispatcher_client import Dispatcher
from dispatcher_client.tracing.open_telemetry import SpanExport
from examples.local_boards import LocalBoards
from tests.dispatcher_client.test_groups import group_bundle, group_plan
from tests.dispatcher_client.whole_model import random_inputs

FRAMES = 12
NS_PER_S = 1e9


def test_every_frame_is_a_span_with_its_stages_inside(boards: LocalBoards, zoo_bundle: Callable[..., Bundle]) -> None:
    bundle = zoo_bundle("residual", "float32", 3)
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    begun_s = time.time()
    with (
        SpanExport(provider) as export,
        Dispatcher(bundle, boards.named, check_sample=False, on_reply=export) as chain,
    ):
        for _ in chain.stream([random_inputs(bundle, 0)] * FRAMES):
            pass
    ended_s = time.time()
    assert export.lost == 0
    spans = exporter.get_finished_spans()
    by_id = {span.context.span_id: span for span in spans if span.context is not None}
    frames = [span for span in spans if span.name == "boardline.frame"]
    assert len(frames) == FRAMES
    assert {span.attributes["boardline.deployment"] for span in frames if span.attributes} == {bundle.deployment_id}
    children: dict[int, list[str]] = {}
    for span in spans:
        assert span.start_time is not None
        assert span.end_time is not None
        assert begun_s - 1 < span.start_time / NS_PER_S <= span.end_time / NS_PER_S < ended_s + 1
        if span.parent is not None:
            parent = by_id[span.parent.span_id]
            children.setdefault(span.parent.span_id, []).append(span.name)
            assert parent.start_time is not None
            assert parent.end_time is not None
            assert parent.start_time <= span.start_time
            assert span.end_time <= parent.end_time + 1
    for frame in frames:
        assert frame.context is not None
        assert sorted(children[frame.context.span_id]) == [f"boardline.stage {index}" for index in range(3)]
    stages = [span for span in spans if span.name.startswith("boardline.stage")]
    for stage in stages:
        assert stage.context is not None
        assert sorted(children[stage.context.span_id]) == ["boardline.compute", "boardline.decode", "boardline.encode"]


def test_boards_of_a_group_are_inside_their_leaders_stage(boards: LocalBoards, tmp_path: Path) -> None:
    bundle = group_bundle(tmp_path / "parts", "residual", "float32", (1, 1))
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    plan = group_plan(bundle, "board1", "board2")
    with (
        SpanExport(provider) as export,
        Dispatcher(bundle, boards.named, plan=plan, check_sample=False, on_reply=export) as chain,
    ):
        for _ in chain.stream([random_inputs(bundle, 0)] * FRAMES):
            pass
    spans = exporter.get_finished_spans()
    names = {span.context.span_id: span.name for span in spans if span.context is not None}
    children: dict[str, list[str]] = {}
    for span in spans:
        children.setdefault(names[span.parent.span_id] if span.parent is not None else "", []).append(span.name)
        if span.name.startswith("boardline.stage"):
            assert span.attributes
            assert span.attributes["boardline.pieces_sent_bytes"]
    both = ["boardline.compute", "boardline.wait_for_pieces"]
    assert {name: sorted(inside) for name, inside in children.items()} == {
        "": ["boardline.frame"] * FRAMES,
        "boardline.frame": ["boardline.stage 0"] * FRAMES,
        "boardline.stage 0": sorted([*both, "boardline.decode", "boardline.encode", "boardline.stage 1"] * FRAMES),
        "boardline.stage 1": sorted(both * FRAMES),
    }

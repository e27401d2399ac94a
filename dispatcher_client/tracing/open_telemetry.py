"""Frames as OpenTelemetry spans, for whoever has a collector. Needs `pip install boardline[otel]`, and an SDK that exports.

A frame is a span, each stage that it passed a child of it, and decoding, computing and encoding children of that, as are the other
boards of a group. Only once some frames have come can the boards' clocks be aligned (see `timeline`): spans are made a second at a
time, with the times that things had.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Iterator
from types import TracebackType
from typing import Optional

from opentelemetry.context import Context
from opentelemetry.trace import SpanKind, Tracer, TracerProvider, get_tracer, set_span_in_context

from dispatcher_client.chain import ReplyReport
from dispatcher_client.tracing.timeline import FrameTimeline, StageTimeline, timelines

_log = logging.getLogger(__name__)
_NS_PER_S = 1e9
_EVERY_S = 1.0
_MOST_WAITING = 20_000


class SpanExport:
    """Give it to a Dispatcher as `on_reply`, and use it in a with block: leaving it exports what is left."""

    def __init__(self, provider: TracerProvider | None = None) -> None:
        """Args: provider: of the tracer; by default the application's global one."""
        self._tracer: Tracer = get_tracer("boardline", tracer_provider=provider)
        # perf_counter's beginning, in seconds since 1970
        self._epoch_s = time.time() - time.perf_counter()
        self._reports: queue.Queue[Optional[ReplyReport]] = queue.Queue(_MOST_WAITING)
        self._thread = threading.Thread(target=self._run, name="boardline-spans", daemon=True)
        self.lost = 0  # reports that came faster than spans could be made

    def __enter__(self) -> SpanExport:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._reports.put(None)
        self._thread.join()

    def __call__(self, report: ReplyReport) -> None:
        """Takes a report; never waits."""
        try:
            self._reports.put_nowait(report)
        except queue.Full:
            self.lost += 1

    def _run(self) -> None:
        is_over = False
        while not is_over:
            taken, stop_s = [], time.monotonic() + _EVERY_S
            while not is_over and (left_s := stop_s - time.monotonic()) > 0:
                try:
                    report = self._reports.get(timeout=left_s)
                except queue.Empty:
                    break
                if report is None:
                    is_over = True
                else:
                    taken.append(report)
            try:
                for frame in timelines(taken):
                    self._export(frame)
            except Exception:
                _log.exception("frames could not be exported as spans; those to come will be tried")

    def _export(self, frame: FrameTimeline) -> None:
        report = frame.report
        told: dict[str, str | int | float] = {
            "boardline.deployment": report.deployment_id,
            "boardline.chain": report.chain_index,
            "boardline.request": report.request_id,
            "boardline.clock_uncertainty_s": frame.uncertainty_s,
        }
        whole = self._tracer.start_span(
            "boardline.frame", kind=SpanKind.CLIENT, attributes=told, start_time=self._ns(frame.sent_s)
        )
        context = set_span_in_context(whole)
        for stage in frame.stages:
            self._export_stage(stage, context)
        whole.end(self._ns(frame.answered_s))

    def _export_stage(self, stage: StageTimeline, context: Context) -> None:
        timing = stage.timing
        told: dict[str, str | int | float] = {
            "boardline.stage": stage.stage_index,
            "boardline.sent_bytes": timing.sent_bytes,
            "boardline.invoke_cpu_s": timing.invoke_cpu_ns / _NS_PER_S,
        }
        if timing.pieces_wait_ns:
            told["boardline.pieces_sent_bytes"] = timing.pieces_sent_bytes
            told["boardline.pieces_received_bytes"] = timing.pieces_received_bytes
        span = self._tracer.start_span(
            f"boardline.stage {stage.stage_index}",
            context,
            SpanKind.SERVER,
            attributes=told,
            start_time=self._ns(stage.arrived_s),
        )
        inside = set_span_in_context(span)
        for name, begun_s, ended_s in _steps(stage):
            self._tracer.start_span(name, inside, start_time=self._ns(begun_s)).end(self._ns(ended_s))
        for other in stage.others:
            self._export_stage(other, inside)
        span.end(self._ns(stage.ready_s))

    def _ns(self, seconds: float) -> int:
        return int((self._epoch_s + seconds) * _NS_PER_S)


def _steps(stage: StageTimeline) -> Iterator[tuple[str, float, float]]:
    yield "boardline.compute", stage.computing_s, stage.waiting_s
    if stage.timing.pieces_wait_ns:
        yield "boardline.wait_for_pieces", stage.waiting_s, stage.computed_s
    if not stage.timing.member:  # to others of a group nothing comes coded, and nothing leaves them so
        yield "boardline.decode", stage.decoding_s, stage.computing_s
        yield "boardline.encode", stage.encoding_s, stage.ready_s

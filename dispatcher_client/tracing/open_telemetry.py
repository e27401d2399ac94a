"""Frames as OpenTelemetry spans, for whoever has a collector. Needs `pip install boardline[otel]`, and an SDK that exports.

A frame is a span, each stage that it passed a child of it, and decoding, computing and encoding children of that. Only once some
frames have come can the boards' clocks be aligned (see `timeline`): spans are made a second at a time, with the times that
things had.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from types import TracebackType
from typing import Optional

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
        for stage, timing in zip(frame.stages, report.passed):
            span = self._tracer.start_span(
                f"boardline.stage {stage.stage_index}",
                context,
                SpanKind.SERVER,
                attributes={
                    "boardline.stage": stage.stage_index,
                    "boardline.sent_bytes": timing.sent_bytes,
                    "boardline.invoke_cpu_s": timing.invoke_cpu_ns / _NS_PER_S,
                },
                start_time=self._ns(stage.arrived_s),
            )
            inside = set_span_in_context(span)
            for name, begun_s, ended_s in _steps(stage):
                self._tracer.start_span(name, inside, start_time=self._ns(begun_s)).end(self._ns(ended_s))
            span.end(self._ns(stage.ready_s))
        whole.end(self._ns(frame.answered_s))

    def _ns(self, seconds: float) -> int:
        return int((self._epoch_s + seconds) * _NS_PER_S)


def _steps(stage: StageTimeline) -> tuple[tuple[str, float, float], ...]:
    return (
        ("boardline.decode", stage.decoding_s, stage.computing_s),
        ("boardline.compute", stage.computing_s, stage.computed_s),
        ("boardline.encode", stage.encoding_s, stage.ready_s),
    )

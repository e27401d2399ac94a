"""What happened to each frame, and when, on one time scale: as a trace file, or as OpenTelemetry spans."""

from dispatcher_client.tracing.recorder import TraceRecorder, write_trace
from dispatcher_client.tracing.timeline import FrameTimeline, StageTimeline, timelines

__all__ = ["FrameTimeline", "StageTimeline", "TraceRecorder", "timelines", "write_trace"]

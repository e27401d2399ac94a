"""Latency mode: a run of operators on several boards at once, each with its rows or channels, with the bits of the whole."""

from partitioning.strips.group import GroupPlan, SharedSegment, plan_group
from partitioning.strips.segment import SegmentError, StripSpec, extract_strip, plan_strip, segment_obstacles
from partitioning.strips.spans import SharedAxis, Span

__all__ = [
    "GroupPlan",
    "SegmentError",
    "SharedAxis",
    "SharedSegment",
    "Span",
    "StripSpec",
    "extract_strip",
    "plan_group",
    "plan_strip",
    "segment_obstacles",
]

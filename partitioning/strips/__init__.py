"""Latency mode: rows of a run of operators on several boards at once, with the bits of the whole."""

from partitioning.strips.rows import Rows, height
from partitioning.strips.segment import SegmentError, StripSpec, extract_strip, plan_strip, segment_obstacles

__all__ = ["Rows", "SegmentError", "StripSpec", "extract_strip", "height", "plan_strip", "segment_obstacles"]

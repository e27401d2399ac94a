"""Runs strips from their files, each on nothing but the rows that it asks for, and joins what they give."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from partitioning import Graph, list_cuts, plan_partitions
from partitioning.boundaries import partition_between
from partitioning.strips import Rows, extract_strip, height, plan_strip, segment_obstacles
from partitioning.strips.rows import ROW_AXIS
from runtime import Runner
from tests.partitioning.composition import RUNTIME, Array, Frame, run_part

Own = Mapping[int, Rows]


def all_tensors(graph: Graph, inputs: Frame) -> Frame:
    """Every tensor of the whole model that something could read, by running its operators one by one."""
    frame, found = dict(inputs), dict(inputs)
    legal = [cut.cut_index for cut in list_cuts(graph) if cut.obstacle is None]
    for spec in plan_partitions(graph, legal):
        frame = run_part(graph, spec, frame)
        found |= frame
    return found


def segments(graph: Graph) -> list[tuple[int, int]]:
    """The longest runs of operators that boards can share."""
    obstacles = segment_obstacles(graph)
    edges = [-1, *sorted(obstacles), len(graph.operators)]
    return [(a + 1, b) for a, b in zip(edges[:-1], edges[1:]) if b - a > 1]


def shares(n_rows: int, weights: Sequence[float]) -> list[Rows]:
    """Consecutive rows for each weight, about in proportion; some may get none."""
    edges = np.rint(np.cumsum([0.0, *weights]) / sum(weights) * n_rows).astype(int)
    return [Rows(int(a), int(b)) for a, b in zip(edges[:-1], edges[1:])]


def owned(graph: Graph, start: int, stop: int, weights: Sequence[float]) -> list[Own]:
    """By board, its rows of every tensor that leaves the segment."""
    leaving = partition_between(graph, start, stop).outputs
    parts = {t: shares(height(graph.tensors[t]), weights) for t in leaving}
    return [{t: parts[t][board] for t in leaving} for board in range(len(weights))]


def rows_of(values: Array, rows: Rows) -> Array:
    """Those rows, in one piece; all of what has no such axis."""
    if values.ndim <= ROW_AXIS + 1:
        return values
    return np.ascontiguousarray(values[:, rows.start : rows.stop])


def run_strip(graph: Graph, start: int, stop: int, own: Own, known: Frame) -> Frame:
    """What one board gives: of each tensor that it owns rows of, these."""
    strip = plan_strip(graph, start, stop, own)
    runner = Runner(RUNTIME, extract_strip(graph, strip))
    given = dict(zip(strip.outputs, runner.run([rows_of(known[t], strip.rows[t]) for t in strip.inputs])))
    found = {}
    for t, values in given.items():
        first = strip.rows[t].start
        found[t] = rows_of(values, Rows(own[t].start - first, own[t].stop - first))
    return found


def joined(graph: Graph, start: int, stop: int, weights: Sequence[float], known: Frame) -> Frame:
    """What leaves the segment, from all boards."""
    parts = [
        run_strip(graph, start, stop, own, known)
        for own in owned(graph, start, stop, weights)
        if any(rows.count for rows in own.values())
    ]
    leaving = partition_between(graph, start, stop).outputs
    return {t: np.concatenate([part[t] for part in parts if t in part], axis=ROW_AXIS) for t in leaving}

"""Strips of zoo models, joined, are the whole model's bytes; and the comparison would notice."""

from __future__ import annotations

import numpy as np
import pytest

from partitioning import Graph
from partitioning.strips import SharedAxis
from tests import zoo
from tests.partitioning.composition import differing, model_inputs
from tests.partitioning.strips.joining import Segment, all_tensors, segments

WITH_ROWS = [name for name in zoo.NAMES if name not in ("lstm", "gru", "gru_unrolled", "mlp")]
WITH_DENSE_LAYERS = [name for name in zoo.NAMES if name not in ("unet", "yolo_neck")]
WEIGHTS = [(1, 1), (1, 1, 1), (1, 1, 1, 1), (1,) * 7, (4, 2, 1), (1, 5)]


def graph_and_tensors(name: str, mode: str) -> tuple[Graph, dict[int, np.ndarray]]:
    graph = Graph.from_bytes(zoo.load(name, mode))
    return graph, all_tensors(graph, model_inputs(graph, zoo.inputs(name)))


def faults(segment: Segment) -> list[str]:
    return [
        f"{segment}, {weights}: {segment.graph.tensors[t].name}"
        for weights in WEIGHTS
        for t in differing(segment.expected(), segment.joined(weights))
    ]


@pytest.mark.parametrize("mode", ["float32", "float16", "int8"])
@pytest.mark.parametrize("name", WITH_ROWS)
def test_rows_of_the_longest_segments_are_the_whole_models(name: str, mode: str) -> None:
    graph, known = graph_and_tensors(name, mode)
    found = segments(graph, SharedAxis.ROWS, known)
    assert found, "nothing of it can be shared"
    assert not [fault for segment in found for fault in faults(segment)]


@pytest.mark.parametrize("mode", ["float32", "int8"])
@pytest.mark.parametrize("name", WITH_ROWS)
def test_rows_of_single_operators_are_the_whole_models(name: str, mode: str) -> None:
    graph, known = graph_and_tensors(name, mode)
    longest = segments(graph, SharedAxis.ROWS, known)
    single = [Segment(graph, op, op + 1, s.axis, known) for s in longest for op in range(s.start, s.stop)]
    assert not [fault for segment in single for fault in faults(segment)]


@pytest.mark.parametrize("mode", ["float32", "dynamic", "int8"])  # float16's weights are made by an operator
@pytest.mark.parametrize("name", WITH_DENSE_LAYERS)
def test_output_channels_are_the_whole_models(name: str, mode: str) -> None:
    graph, known = graph_and_tensors(name, mode)
    dense = [op.op_index for op in graph.operators if op.kind == "FULLY_CONNECTED"]
    found = [s for s in segments(graph, SharedAxis.CHANNELS, known) if any(s.start <= op < s.stop for op in dense)]
    assert found, "nothing of it can be shared"
    assert not [fault for segment in found for fault in faults(segment)]


@pytest.mark.parametrize("mode", ["float32", "int8"])
def test_one_wrong_row_of_a_halo_is_noticed(mode: str) -> None:
    graph, known = graph_and_tensors("residual", mode)
    (segment,) = segments(graph, SharedAxis.ROWS, known)
    (source,) = graph.inputs
    middle = known[source].shape[1] // 2
    spoilt = known[source].copy()
    spoilt[:, middle] = 0
    wrong = Segment(graph, segment.start, segment.stop, segment.axis, {**known, source: spoilt})
    above, below = (wrong.run(own) for own in segment.owned((1, 1)))
    (leaving,) = segment.leaving
    half = known[leaving].shape[1] // 2
    assert not np.array_equal(above[leaving], known[leaving][:, :half]), "the board above reads it as its halo"
    assert not np.array_equal(below[leaving], known[leaving][:, half:])

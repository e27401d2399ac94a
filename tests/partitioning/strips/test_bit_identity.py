"""Strips of zoo models, joined, are the whole model's bytes; and the comparison would notice."""

from __future__ import annotations

import pytest

from partitioning import Graph
from partitioning.boundaries import partition_between
from tests import zoo
from tests.partitioning.composition import differing, model_inputs
from tests.partitioning.strips.joining import all_tensors, joined, segments

WITH_ROWS = [name for name in zoo.NAMES if name not in ("lstm", "gru", "gru_unrolled", "mlp")]
WEIGHTS = [(1, 1), (1, 1, 1), (1, 1, 1, 1), (1,) * 7, (4, 2, 1), (1, 5)]


@pytest.mark.parametrize("mode", ["float32", "int8"])
@pytest.mark.parametrize("name", WITH_ROWS)
def test_strips_give_the_whole_models_bytes(name: str, mode: str) -> None:
    graph = Graph.from_bytes(zoo.load(name, mode))
    known = all_tensors(graph, model_inputs(graph, zoo.inputs(name)))
    found = segments(graph)
    assert found, "nothing of it can be shared"
    faults = []
    for start, stop in found:
        expected = {t: known[t] for t in partition_between(graph, start, stop).outputs}
        for weights in WEIGHTS:
            wrong = differing(expected, joined(graph, start, stop, weights, known))
            faults += [f"operators {start} to {stop}, {weights}: {graph.tensors[t].name}" for t in wrong]
    assert not faults, "\n".join(faults)

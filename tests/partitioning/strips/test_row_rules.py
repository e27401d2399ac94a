"""Any rows of any operator that has a rule are the whole model's bytes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from partitioning import Graph
from partitioning.strips import SharedAxis, Span, segment_obstacles
from tests.partitioning.composition import Frame, differing, run_whole
from tests.partitioning.strips.joining import Segment
from tests.partitioning.strips.one_operator import KINDS


def random_image(graph: Graph, seed: int) -> Frame:
    tensor = graph.tensors[graph.inputs[0]]
    random = np.random.default_rng(seed)
    if tensor.type_name == "INT8":
        values = random.integers(-128, 128, tensor.usual_shape).astype(np.int8)
    else:
        values = random.normal(size=tensor.usual_shape).astype(np.float32)
    return {tensor.tensor_index: values}


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=100, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_any_rows_are_the_whole_models(kind: str, data: Any) -> None:
    model = data.draw(KINDS[kind])
    graph = Graph.from_bytes(model)
    assert segment_obstacles(graph, SharedAxis.ROWS) == {}
    inputs = random_image(graph, data.draw(st.integers(0, 999)))
    whole = run_whole(graph, model, inputs)
    own = {}
    for t in graph.outputs:
        extent = SharedAxis.ROWS.extent(graph.tensors[t])
        start = data.draw(st.integers(0, extent - 1))
        own[t] = Span(start, data.draw(st.integers(start, extent)))
    wanted = {t: span for t, span in own.items() if span.count}
    assume(wanted)
    segment = Segment(graph, 0, len(graph.operators), SharedAxis.ROWS, inputs)
    assert not differing({t: segment.part(whole[t], span) for t, span in wanted.items()}, segment.run(wanted))

"""Which cuts are worth measuring, and the estimate of work that says what lies close together."""

from __future__ import annotations

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from partitioning import Graph, list_cuts
from partitioning.operator_work import estimate_work
from partitioning.useful_cuts import choose_useful_cuts
from tests import zoo
from tests.partitioning import sample_models
from tests.partitioning.graph_builder import ModelBuilder


def _dense(widths: list[int]) -> Graph:
    """Fully connected layers of these widths, each followed by an activation of its own."""
    builder = ModelBuilder()
    last = first = builder.main.tensor([1, widths[0]], name="x")
    for index, (n_in, n_out) in enumerate(zip(widths[:-1], widths[1:])):
        weights = builder.main.constant(np.ones((n_out, n_in), np.float32))
        wide = builder.main.tensor([1, n_out], name=f"dense{index}")
        builder.main.operator("FULLY_CONNECTED", [last, weights], [wide], schema.FullyConnectedOptionsT())
        last = builder.main.tensor([1, n_out], name=f"relu{index}")
        builder.main.operator("RELU", [wide], [last])
    builder.main.ends([first], [last])
    return Graph.from_bytes(builder.build())


def test_work_of_a_dense_layer_is_its_weights_and_of_an_activation_its_elements() -> None:
    assert estimate_work(_dense([8, 100, 10])) == [800, 100, 1000, 10]


def test_work_of_an_operator_without_weights_is_its_elements() -> None:
    assert estimate_work(Graph.from_bytes(sample_models.relu_chain(["x", "y", "z"]).build())) == pytest.approx(
        [float(np.prod(sample_models.relu_chain(["x"]).main.raw.tensors[0].shape))] * 2
    )


@pytest.mark.parametrize("name", ["residual", "inverted_residual", "unet", "yolo_neck"])
def test_work_of_convolutions_is_most_of_a_network(name: str) -> None:
    graph = Graph.from_bytes(zoo.load(name, "float32"))
    kinds = [op.kind for op in graph.operators]
    work = estimate_work(graph)
    heavy = sum(w for w, kind in zip(work, kinds) if "CONV" in kind or kind == "FULLY_CONNECTED")
    assert heavy > 0.7 * sum(work)
    assert min(work) > 0


def test_of_neighbours_the_cut_that_fewest_bytes_cross_is_kept() -> None:
    graph = _dense([64, 64, 8, 64, 64])
    useful = choose_useful_cuts(graph, list_cuts(graph), 0.02)
    # After a layer and after its activation cross the same bytes: the first of the two is kept.
    assert useful == [1, 3, 5, 7]
    assert choose_useful_cuts(graph, list_cuts(graph), 0.3) == [3, 7]


def test_every_cut_between_working_operators_is_kept_at_no_distance() -> None:
    graph = _dense([8, 8, 8])
    assert choose_useful_cuts(graph, list_cuts(graph), 0.0) == [1, 2, 3]


def test_cuts_that_cannot_be_used_are_never_kept() -> None:
    graph = Graph.from_bytes(sample_models.accumulator().build())
    legal = {c.cut_index for c in list_cuts(graph) if c.obstacle is None}
    assert set(choose_useful_cuts(graph, list_cuts(graph), 0.0)) <= legal


@pytest.mark.parametrize("name", ["inception", "attention", "lstm"])
def test_no_cut_close_by_beats_a_kept_one(name: str) -> None:
    graph = Graph.from_bytes(zoo.load(name, "float32"))
    cuts = list_cuts(graph)
    resolution = 0.01
    done = np.concatenate([[0.0], np.cumsum(estimate_work(graph))])
    useful = choose_useful_cuts(graph, cuts, resolution)
    by_index = {c.cut_index: c for c in cuts if c.obstacle is None}
    assert useful
    for kept in useful:
        near = [c for i, c in by_index.items() if abs(done[i] - done[kept]) <= resolution * done[-1]]
        assert min(c.crossing_bytes for c in near) == by_index[kept].crossing_bytes

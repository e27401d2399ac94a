"""The model as a planner sees it: positions that can be cut, pieces that cover it, files that stay the same."""

from __future__ import annotations

import hashlib

import pytest

from partitioning import Graph, list_cuts
from planner.errors import WishError
from planner.model import PlannerModel
from tests import zoo


@pytest.fixture(scope="module")
def graph() -> Graph:
    return Graph.from_bytes(zoo.load("residual", "int8"))


@pytest.fixture(scope="module")
def model(graph: Graph) -> PlannerModel:
    return PlannerModel.from_graph("residual", graph)


def test_positions_are_useful_cuts_between_beginning_and_end(model: PlannerModel, graph: Graph) -> None:
    legal = {cut.cut_index for cut in list_cuts(graph) if cut.obstacle is None}
    assert model.positions[0] == 0
    assert model.positions[-1] == len(graph.operators)
    assert 2 < len(model.positions) < len(graph.operators)
    assert set(model.positions[1:-1]) < legal
    assert list(model.positions) == sorted(set(model.positions))


def test_given_cuts_alone_are_looked_through(graph: Graph) -> None:
    assert PlannerModel.from_graph("residual", graph, list_cuts(graph)[8:9]).positions == (0, 9, len(graph.operators))


def test_pieces_follow_one_another_from_first_operator_to_last(model: PlannerModel) -> None:
    starts, stops = zip(*model.pieces)
    assert (*starts, stops[-1]) == model.positions == (starts[0], *stops)


def test_segment_is_the_same_file_at_every_call_and_for_every_copy(model: PlannerModel) -> None:
    segment = model.segment((2, 7))
    assert segment.sha256 == hashlib.sha256(segment.data).hexdigest()
    assert [op.kind for op in Graph.from_bytes(segment.data).operators] == [
        op.kind for op in model.graph.operators[2:7]
    ]
    assert model.segment((2, 7)) is segment
    assert model.with_positions([3]).segment((2, 7)) is segment


def test_positions_are_added_in_order_and_once(model: PlannerModel) -> None:
    missing = next(p for p in range(1, model.positions[-1]) if p not in model.positions)
    more = model.with_positions([missing, model.positions[1]])
    assert more.positions == tuple(sorted({*model.positions, missing}))
    assert more.position_index(missing) == more.positions.index(missing)
    with pytest.raises(WishError, match=f"cut {missing} is not among this plan's positions"):
        model.position_index(missing)


def test_crossing_bytes_are_those_of_the_inputs_the_cuts_and_the_outputs(model: PlannerModel, graph: Graph) -> None:
    assert model.crossing_bytes(0) == sum(graph.tensors[t].size_bytes for t in graph.inputs)
    assert model.crossing_bytes(len(graph.operators)) == sum(graph.tensors[t].size_bytes for t in graph.outputs)
    cuts = list_cuts(graph)
    assert [model.crossing_bytes(c.cut_index) for c in cuts] == [c.crossing_bytes for c in cuts]


def test_runtime_floor_is_the_files(model: PlannerModel) -> None:
    assert model.runtime_floor.count(".") == 2

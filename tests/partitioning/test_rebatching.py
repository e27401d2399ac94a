"""A changed copy of a graph's file: what is changed, what stays, and that the original is not touched."""

from __future__ import annotations

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from partitioning import Graph
from partitioning.batch_operands import batched_operands, broadcast_operands
from partitioning.rebatching import BatchedCopy
from tests import zoo
from tests.partitioning.graph_builder import ModelBuilder


def two_reshapes() -> bytes:
    """x -> RESHAPE -> y and x -> RESHAPE -> z, which have their shape in one tensor."""
    model = ModelBuilder()
    x, y, z = (model.main.tensor(shape, name=n) for n, shape in (("x", (1, 2, 3)), ("y", (1, 6)), ("z", (1, 6))))
    shape = model.main.constant(np.array([1, 6], np.int32), name="shape")
    for result in (y, z):
        model.main.operator(
            "RESHAPE", [x, shape], [result], schema.ReshapeOptionsT(newShape=np.array([1, 6], np.int32))
        )
    model.main.ends([x], [y, z])
    return model.build()


def test_unchanged_copy_has_the_same_graph() -> None:
    graph = Graph.from_bytes(zoo.load("residual", "int8"))
    again = Graph.from_bytes(BatchedCopy(graph).to_bytes())
    assert (again.tensors, again.operators, again.inputs, again.outputs) == (
        graph.tensors,
        graph.operators,
        graph.inputs,
        graph.outputs,
    )
    assert again.aliases == graph.aliases


def test_operator_gets_a_constant_of_its_own_and_others_keep_theirs() -> None:
    graph = Graph.from_bytes(two_reshapes())
    copy = BatchedCopy(graph)
    copy.set_operands(0, batched_operands(graph, graph.operators[0], 4, lambda t: True))
    raws = Graph.from_bytes(copy.to_bytes()).model
    first, second = raws.subgraphs[0].operators
    assert list(first.builtinOptions.newShape) == [4, 6]
    assert list(second.builtinOptions.newShape) == [1, 6]
    shapes = [
        np.frombuffer(bytes(raws.buffers[raws.subgraphs[0].tensors[op.inputs[1]].buffer].data), np.int32).tolist()
        for op in (first, second)
    ]
    assert shapes == [[4, 6], [1, 6]]
    untouched = graph.model.subgraphs[0].operators[0]
    assert untouched.inputs[1] == graph.model.subgraphs[0].operators[1].inputs[1]
    assert list(untouched.builtinOptions.newShape) == [1, 6]


def test_open_first_dimension_is_closed_and_others_stay_open() -> None:
    model = ModelBuilder()
    x = model.main.tensor((1, 2), signature=(-1, 2), name="x")
    y = model.main.tensor((1, 1), signature=(-1, -1), name="y")
    model.main.operator("RESHAPE", [x], [y], schema.ReshapeOptionsT(newShape=np.array([-1, 1], np.int32)))
    model.main.ends([x], [y])
    graph = Graph.from_bytes(model.build())
    copy = BatchedCopy(graph)
    copy.set_shape(x, (4, 2))
    copy.set_shape(y, (4, 2))
    again = Graph.from_bytes(copy.to_bytes())
    assert [(t.shape, t.usual_shape) for t in again.tensors[:2]] == [((4, 2), (4, 2)), ((4, -1), (4, 2))]


def test_reshape_comes_before_its_operator_under_a_new_name() -> None:
    model = ModelBuilder()
    x, v, y = (model.main.tensor(shape, name=n) for n, shape in (("x", (1, 2, 3)), ("v", (1, 3)), ("y", (1, 2, 3))))
    model.main.operator("ADD", [x, v], [y], schema.AddOptionsT())
    model.main.operator("MUL", [y, v], [x2 := model.main.tensor((1, 2, 3), name="z")], schema.MulOptionsT())
    model.main.ends([x, v], [x2])
    graph = Graph.from_bytes(model.build())
    copy = BatchedCopy(graph)
    for op in graph.operators:
        for position, shape in broadcast_operands(graph, op, 4, lambda t: True).items():
            copy.reshape_operand(op.source_index, position, shape)
    again = Graph.from_bytes(copy.to_bytes())
    assert [op.kind for op in again.operators] == ["RESHAPE", "ADD", "RESHAPE", "MUL"]
    reshaped = [again.tensors[op.outputs[0]] for op in again.operators[::2]]
    assert [t.usual_shape for t in reshaped] == [(4, 1, 3)] * 2
    assert [t.name.split("#")[0] for t in reshaped] == ["v/batched"] * 2
    assert len(again.model.operatorCodes) == 3


def test_operators_that_see_no_batch_need_no_change() -> None:
    graph = Graph.from_bytes(two_reshapes())
    assert batched_operands(graph, graph.operators[0], 4, lambda t: False) == {}
    assert broadcast_operands(graph, graph.operators[0], 4, lambda t: True) == {}

"""What crosses each cut, and which cuts state and untransferable tensors forbid."""

from __future__ import annotations

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from partitioning import Graph, list_cuts
from partitioning.cuts import crossing_tensors
from tests.partitioning import sample_models
from tests.partitioning.graph_builder import ModelBuilder


def _obstacles(builder: ModelBuilder) -> dict[int, str | None]:
    return {c.cut_index: c.obstacle for c in list_cuts(Graph.from_bytes(builder.build()))}


def test_cut_lists_what_crosses_it_with_inputs_first() -> None:
    #  x -> a ----> sum       Cut 1: x (still read) and a; cut 2: a and b; the unused input never travels.
    #  x ----> b ---^
    builder = ModelBuilder()
    unused, x, a, b, total = (builder.main.tensor([1, 2], name=n) for n in ("unused", "x", "a", "b", "sum"))
    builder.main.operator("RELU", [x], [a])
    builder.main.operator("LOGISTIC", [x], [b])
    builder.main.operator("ADD", [a, b], [total], schema.AddOptionsT())
    builder.main.ends([unused, x], [total, total])
    graph = Graph.from_bytes(builder.build())
    cuts = list_cuts(graph)
    assert [[t.name for t in c.crossing] for c in cuts] == [["x", "a"], ["a", "b"]]
    assert [(c.before.kind, c.after.kind, c.crossing_bytes) for c in cuts] == [
        ("RELU", "LOGISTIC", 16),
        ("LOGISTIC", "ADD", 16),
    ]
    assert crossing_tensors(graph, 0) == [unused, x]
    assert crossing_tensors(graph, 3) == [total]


def test_cuts_are_none_when_there_is_one_operator() -> None:
    assert list_cuts(Graph.from_bytes(sample_models.relu_chain(["x", "y"]).build())) == []


def test_cut_is_legal_when_a_loop_keeps_its_state_to_itself() -> None:
    assert set(_obstacles(sample_models.loop()).values()) == {None}


def test_cut_is_illegal_between_operators_that_share_a_variable() -> None:
    obstacles = _obstacles(sample_models.accumulator())
    shared = "operators 0 and 4 share the variable total, which cannot be in two partitions"
    travels = "tensors without a fixed element size cannot travel: {} (RESOURCE)"
    assert obstacles == {
        1: shared,
        2: travels.format("read_from"),
        3: shared,
        4: shared,
        5: travels.format("write_to"),
        6: None,
        7: None,
    }


def test_cut_is_illegal_between_operators_that_share_a_variable_tensor() -> None:
    builder = sample_models.relu_chain(["x", "a", "b", "c", "y"])
    state = builder.main.tensor([1, 2], name="state", is_variable=True)
    for index in (1, 2):
        raw = builder.main.raw.operators[index]
        raw.inputs = np.array([*raw.inputs, state], np.int32)
    assert _obstacles(builder) == {
        1: None,
        2: "operators 1 and 2 share the variable tensor state, which cannot be in two partitions",
        3: None,
    }


def test_cut_is_illegal_between_operators_that_share_a_hash_table() -> None:
    builder = sample_models.relu_chain(["x", "a", "b", "y"])
    init = builder.subgraph("init")
    table = init.tensor([], tensor_type=sample_models.RESOURCE)
    init.operator("HASHTABLE", [], [table], schema.HashtableOptionsT(tableId=7))
    init.ends([], [])
    for index, (kind, options) in enumerate(
        [
            ("CALL_ONCE", schema.CallOnceOptionsT(initSubgraphIndex=1)),
            ("HASHTABLE", schema.HashtableOptionsT(tableId=7)),
        ]
    ):
        outputs = [] if kind == "CALL_ONCE" else [builder.main.tensor([], tensor_type=sample_models.RESOURCE)]
        builder.main.operator(kind, [], outputs, options)
        builder.main.raw.operators.insert(index, builder.main.raw.operators.pop())
    assert _obstacles(builder) == {
        1: "operators 0 and 1 share the hash table 7, which cannot be in two partitions",
        **dict.fromkeys([2, 3, 4]),
    }


def test_cut_is_illegal_when_a_string_would_cross_it() -> None:
    builder = sample_models.relu_chain(["x", "text", "y", "z"])
    builder.main.raw.tensors[1].type = schema.TensorType.STRING
    assert _obstacles(builder) == {1: "tensors without a fixed element size cannot travel: text (STRING)", 2: None}


def test_cut_obstacle_is_named_when_the_variable_has_no_name_in_utf8() -> None:
    builder = sample_models.accumulator()
    for graph in builder.raw.subgraphs:
        for raw in graph.operators:
            if hasattr(raw.builtinOptions, "sharedName"):
                raw.builtinOptions.sharedName = b"\xff"
    assert "share the variable \N{REPLACEMENT CHARACTER}," in str(_obstacles(builder)[1])

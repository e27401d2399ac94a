"""A partition's file: its layout, what it keeps of the whole model, and what it leaves behind."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from partitioning import Graph, extract_partition, plan_partitions
from partitioning.runtime_floor import read_runtime_floor
from partitioning.subgraphs import called_subgraphs, reachable_subgraphs, with_subgraphs
from runtime import Runner
from tests import zoo
from tests.partitioning import sample_models
from tests.partitioning.composition import RUNTIME, compose, differing, run_whole
from tests.partitioning.graph_builder import ModelBuilder, unpack

_BUFFER_ALIGNMENT_BYTES = 16


def _parts(builder: ModelBuilder, *cut_indices: int) -> list[bytes]:
    graph = Graph.from_bytes(builder.build())
    return [extract_partition(graph, spec) for spec in plan_partitions(graph, cut_indices)]


def _buffer_places(data: bytes) -> list[tuple[int, int]]:
    """(start, size) in the file of every buffer that holds data."""
    model = schema.Model.GetRootAs(data, 0)
    places = []
    for index in range(model.BuffersLength()):
        buffer = model.Buffers(index)
        field = buffer._tab.Offset(4)
        if buffer.DataLength():
            places.append((buffer._tab.Vector(field), buffer.DataLength()))
    return places


@pytest.mark.parametrize(("name", "mode"), [("residual", "float32"), ("squeeze_excite", "int8"), ("lstm", "float16")])
def test_constants_lie_on_16_byte_boundaries_of_the_file(name: str, mode: str) -> None:
    graph = Graph.from_bytes(zoo.load(name, mode))
    sizes = set()
    for cut_index in range(1, len(graph.operators)):
        for spec in plan_partitions(graph, [cut_index]):
            places = _buffer_places(extract_partition(graph, spec))
            assert [start for start, _ in places if start % _BUFFER_ALIGNMENT_BYTES] == []
            sizes |= {size % _BUFFER_ALIGNMENT_BYTES for _, size in places}
    assert len(sizes) > 1, "with sizes that are multiples of 16 alone, any layout would be aligned"


def test_constants_keep_their_bytes() -> None:
    constants = [np.arange(n, dtype=np.float32).reshape(1, n) for n in (1, 2, 5, 33)]
    builder = ModelBuilder()
    x = builder.main.tensor([1, 1])
    last = x
    for data in constants:
        y = builder.main.tensor(data.shape)
        builder.main.operator("ADD", [x, builder.main.constant(data)], [y], schema.AddOptionsT())
        last = y
    builder.main.ends([x], [last])
    (part,) = _parts(builder)
    assert [part[a : a + n] for a, n in _buffer_places(part)] == [c.tobytes() for c in constants]


def test_part_holds_only_what_its_operators_touch() -> None:
    head, tail = (unpack(p) for p in _parts(sample_models.bit_of_everything(), 1))
    assert [t.name for t in head.subgraphs[0].tensors] == [b"x", b"y"]
    assert len(head.subgraphs) == 1 and len(head.operatorCodes) == 1
    names = {t.name for t in tail.subgraphs[0].tensors}
    assert b"x" not in names and {b"weights16", b"weights32"} <= names
    assert len(tail.subgraphs[0].operators) == 6


def test_part_says_which_operators_it_is() -> None:
    head, tail = (unpack(p) for p in _parts(sample_models.loop(), 2))
    assert (head.description, tail.description) == (
        b"boardline partition: operators 0 to 2",
        b"boardline partition: operators 2 to 3",
    )


def test_every_part_asks_for_the_runtime_that_the_whole_asked_for() -> None:
    parts = _parts(sample_models.bit_of_everything(), 1, 2, 3, 4, 5)
    assert [read_runtime_floor(Graph.from_bytes(p)) for p in parts] == ["2.17.0"] * 6
    assert [m.name for p in parts for m in unpack(p).metadata] == [b"min_runtime_version"] * 6


def test_loop_takes_its_subgraphs_along_renumbered() -> None:
    builder = sample_models.loop()
    graph = Graph.from_bytes(builder.build())
    head, middle, tail = (unpack(p) for p in _parts(builder, 1, 2))
    assert [len(m.subgraphs) for m in (head, middle, tail)] == [1, 3, 1]
    assert [s.name for s in middle.subgraphs] == [b"main", b"condition", b"body"]
    options = middle.subgraphs[0].operators[0].builtinOptions
    assert (options.condSubgraphIndex, options.bodySubgraphIndex) == (1, 2)
    inputs = {0: np.array([[1.0, -2.0]], np.float32)}
    whole = run_whole(graph, builder.build(), inputs)
    assert [a.tolist() for a in whole.values()] == [[[8.0, 0.0]]]
    assert differing(whole, compose(graph, [1, 2], inputs)) == []


def test_part_of_a_part_gives_the_same_bytes() -> None:
    graph = Graph.from_bytes(zoo.load("residual", "float16"))
    (spec,) = plan_partitions(graph, [])
    once = extract_partition(graph, spec)
    again = Graph.from_bytes(once)
    assert extract_partition(again, *plan_partitions(again, [])) == once
    head, *_ = plan_partitions(graph, [9])
    head_again, *_ = plan_partitions(again, [9])
    assert extract_partition(again, head_again) == extract_partition(graph, head)


def test_model_returns_a_constant_and_an_input_from_the_last_part() -> None:
    builder = sample_models.relu_chain(["x", "y", "z"])
    main = builder.main
    constant = main.constant(np.array([3.0, 4.0], np.float32))
    main.ends([0], [constant, 0, 2, 2])
    graph = Graph.from_bytes(builder.build())
    inputs = {0: np.array([[1.0, -2.0]], np.float32)}
    whole = run_whole(graph, builder.build(), inputs)
    assert whole[constant].tolist() == [3.0, 4.0]
    assert whole[0].tolist() == [[1.0, -2.0]]
    assert differing(whole, compose(graph, [1], inputs)) == []


def test_operator_on_constants_goes_into_the_last_part_when_the_model_returns_its_result() -> None:
    # LiteRT itself cannot run such a model (XNNPACK swallows the DEQUANTIZE), so only the file is looked at.
    builder = sample_models.relu_chain(["x", "y", "z"])
    half, full = builder.main.constant(np.array([5.0], np.float16)), builder.main.tensor([1])
    builder.main.operator("DEQUANTIZE", [half], [full], schema.DequantizeOptionsT())
    builder.main.ends([0], [2, full])
    head, tail = (unpack(p).subgraphs[0] for p in _parts(builder, 1))
    assert (len(head.operators), len(tail.operators), len(tail.outputs)) == (1, 2, 2)


def test_constant_operator_that_reads_another_is_copied_with_it() -> None:
    builder = sample_models.relu_chain(["x", "y", "z"])
    main = builder.main
    half, full, negative = main.constant(np.ones(2, np.float16)), main.tensor([2]), main.tensor([2])
    main.operator("DEQUANTIZE", [half], [full], schema.DequantizeOptionsT())
    main.operator("NEG", [full], [negative], schema.NegOptionsT())
    total, product = main.tensor([1, 2]), main.tensor([1, 2])
    main.operator("ADD", [2, negative], [total], schema.AddOptionsT())
    main.operator("MUL", [total, negative], [product], schema.MulOptionsT())
    main.ends([0], [product])
    graph = Graph.from_bytes(builder.build())
    assert [op.kind for op in graph.operators] == ["RELU", "RELU", "ADD", "MUL"]
    inputs = {0: np.array([[1.0, -2.0]], np.float32)}
    whole = run_whole(graph, builder.build(), inputs)
    assert [a.tolist() for a in whole.values()] == [[[-0.0, 1.0]]]
    assert differing(whole, compose(graph, [1, 2, 3], inputs)) == []


def test_operator_without_an_input_vector_is_extracted() -> None:
    builder = sample_models.accumulator()
    for graph in builder.raw.subgraphs:
        for raw in graph.operators:
            raw.inputs = raw.inputs if len(raw.inputs) else None
    stateful, tail = _parts(builder, 6)
    x = np.array([[1.0, 2.0]], np.float32)
    (middle,) = Runner(RUNTIME, stateful).run([x])
    assert Runner(RUNTIME, tail).run([middle])[0].tolist() == x.tolist()


def test_blockwise_scales_move_with_the_tensor_that_names_them() -> None:
    builder = sample_models.relu_chain(["x", "y", "z"])
    main = builder.main
    for name in ("filler", "scales", "zero points"):
        main.constant(np.ones(2, np.float32), name=name)
    weights = main.constant(np.ones((2, 2), np.int8), name="weights")
    details = schema.BlockwiseQuantizationT(scales=4, zeroPoints=-1, blockSize=2)
    main.raw.tensors[weights].quantization = schema.QuantizationParametersT(
        details=details, detailsType=schema.QuantizationDetails.BlockwiseQuantization
    )
    out = main.tensor([1, 2], name="out")
    main.operator("FULLY_CONNECTED", [2, weights, -1], [out], schema.FullyConnectedOptionsT())
    main.ends([0], [out])
    _, tail = (unpack(p).subgraphs[0] for p in _parts(builder, 2))
    names = [t.name for t in tail.tensors]
    assert names == [b"z", b"weights", b"scales", b"out"]
    kept = tail.tensors[1].quantization.details
    assert (names[kept.scales], kept.zeroPoints, kept.blockSize) == (b"scales", -1, 2)

    details.zeroPoints = 5
    _, tail = (unpack(p).subgraphs[0] for p in _parts(builder, 2))
    assert tail.tensors[tail.tensors[1].quantization.details.zeroPoints].name == b"zero points"


def _operator(options: Any) -> Any:
    name = type(options).__name__.removesuffix("T")
    if hasattr(schema.BuiltinOptions2, name):
        return schema.OperatorT(builtinOptions2=options)
    return schema.OperatorT(builtinOptions=options)


@pytest.mark.parametrize(
    ("options", "called"),
    [
        (schema.IfOptionsT(thenSubgraphIndex=4, elseSubgraphIndex=2), [4, 2]),
        (schema.WhileOptionsT(condSubgraphIndex=1, bodySubgraphIndex=1), [1, 1]),
        (schema.CallOptionsT(subgraph=3), [3]),
        (schema.CallOnceOptionsT(initSubgraphIndex=3), [3]),
        (schema.StableHLOCompositeOptionsT(decompositionSubgraphIndex=5), [5]),
        (schema.StablehloCaseOptionsT(branchSubgraphIndices=np.array([2, 4], np.int32)), [2, 4]),
        (schema.StablehloCaseOptionsT(branchSubgraphIndices=None), []),
        (schema.StableHLOCompositeOptionsT(), []),
        (schema.AddOptionsT(), []),
        (None, []),
    ],
)
def test_subgraphs_that_an_operator_runs_are_found_and_renumbered(options: Any, called: list[int]) -> None:
    raw = _operator(options)
    assert called_subgraphs(raw) == called
    assert called_subgraphs(with_subgraphs(raw, lambda index: index + 10)) == [index + 10 for index in called]
    assert called_subgraphs(raw) == called


def test_subgraphs_are_found_through_one_another_once_each() -> None:
    model = schema.ModelT(subgraphs=[schema.SubGraphT() for _ in range(4)])
    call = [_operator(schema.CallOptionsT(subgraph=i)) for i in range(4)]
    model.subgraphs[1].operators = [call[3], call[1]]
    model.subgraphs[3].operators = [call[1]]
    assert reachable_subgraphs(model, [call[1], call[3]]) == [1, 3]
    assert reachable_subgraphs(model, [call[2]]) == [2]

"""Reading a TFLite file: what its graph says, and that damaged files are refused by a typed error."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import flatbuffers
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from partitioning import Graph, ModelFormatError, extract_partition, list_cuts, plan_partitions
from partitioning.runtime_floor import read_runtime_floor
from tests.partitioning import sample_models
from tests.partitioning.graph_builder import ModelBuilder, pack

_MUTATIONS = 2000


def _read_completely(data: bytes) -> None:
    """Everything that is done with a file before a runtime sees it."""
    graph = Graph.from_bytes(data)
    assert graph.aliases is not None
    read_runtime_floor(graph)
    for cut in list_cuts(graph):
        assert cut.crossing_bytes is not None
        for spec in plan_partitions(graph, [cut.cut_index]):
            extract_partition(graph, spec)


def test_graph_leaves_out_operators_on_constants_and_optional_inputs() -> None:
    graph = Graph.from_bytes(sample_models.bit_of_everything().build())
    kinds = ["RELU", "WHILE", "RELU", "QUANTIZE", "DEQUANTIZE", "FULLY_CONNECTED"]
    assert [op.kind for op in graph.operators] == kinds
    assert [op.op_index for op in graph.operators] == list(range(6))
    assert [op.source_index for op in graph.operators] == [0, 1, 2, 3, 4, 6]
    names = [[graph.tensors[t].name for t in op.inputs] for op in graph.operators]
    assert names == [["x"], ["y"], ["z"], ["out"], ["quantised"], ["back"]]
    assert {graph.tensors[t].name: i for t, i in graph.constant_producers.items()} == {"weights32": 5}


def test_tensors_say_type_shape_scale_and_size() -> None:
    graph = Graph.from_bytes(sample_models.bit_of_everything().build())
    tensors = {t.name: t for t in graph.tensors}
    quantised, back = tensors["quantised"], tensors["back"]
    assert (quantised.dtype, quantised.zero_point) == (np.dtype(np.int8), 4)
    assert quantised.scale == pytest.approx(0.1)
    assert (quantised.type_name, quantised.size_bytes) == ("INT8", 2)
    assert (back.dtype, back.scale, back.shape, back.usual_shape) == (np.dtype(np.float32), None, (-1, 2), (1, 2))
    assert back.size_bytes == 8
    assert tensors["weights16"].is_constant and not back.is_constant and not back.is_variable


def test_tensor_has_no_scale_of_its_own_when_the_file_has_several_or_a_zero() -> None:
    builder = sample_models.relu_chain(["x", "y"])
    builder.main.constant(np.ones((2, 3), np.int8), name="several", scale=[0.1, 0.2])
    builder.main.constant(np.ones((2, 3), np.int8), name="zero", scale=0.0)
    tensors = {t.name: t for t in Graph.from_bytes(builder.build()).tensors}
    assert tensors["several"].scale is None and tensors["zero"].scale is None


def test_tensor_has_no_dtype_and_no_size_when_its_elements_have_none() -> None:
    builder = sample_models.relu_chain(["x", "y"])
    builder.main.tensor([3], name="text", tensor_type=schema.TensorType.STRING)
    builder.main.tensor([3], name="new", tensor_type=99)
    tensors = {t.name: t for t in Graph.from_bytes(builder.build()).tensors}
    assert (tensors["text"].dtype, tensors["text"].size_bytes, tensors["text"].type_name) == (None, 0, "STRING")
    assert (tensors["new"].dtype, tensors["new"].type_name) == (None, "type 99")


@pytest.mark.parametrize(
    ("given", "unique"),
    [
        (["", "", "tensor"], ["tensor", "tensor#1", "tensor#2"]),
        (["a", "b", "a", "a"], ["a", "b", "a#2", "a#3"]),
        (["a#2", "a", "a"], ["a#2", "a", "a#2#"]),
        (["a", "a", "a#1"], ["a", "a#1#", "a#1"]),
        (["a", "a", "a#1", "a#1", "a#1#"], ["a", "a#1##", "a#1", "a#1#3", "a#1#"]),
    ],
)
def test_names_become_unique_and_the_first_of_a_name_keeps_it(given: list[str], unique: list[str]) -> None:
    graph = Graph.from_bytes(sample_models.relu_chain(given).build())
    assert [t.name for t in graph.tensors] == unique


def test_names_are_read_when_they_are_not_utf8() -> None:
    builder = sample_models.relu_chain(["x", "y"])
    builder.main.raw.tensors[1].name = b"caf\xe9"
    assert Graph.from_bytes(builder.build()).tensors[1].name == "caf\N{REPLACEMENT CHARACTER}"


def test_aliases_come_from_the_main_graphs_first_signature() -> None:
    builder = sample_models.loop()
    sample_models.sign(builder, {"elsewhere": 0}, {}, subgraph_index=3)
    sample_models.sign(builder, {"image": 0}, {"answer": 3, "same": 3})
    sample_models.sign(builder, {"second": 0}, {"second": 1})
    assert Graph.from_bytes(builder.build()).aliases == {0: "image", 3: "answer"}
    assert Graph.from_bytes(sample_models.loop().build()).aliases == {}


def test_producer_and_last_use_know_inputs_and_outputs() -> None:
    graph = Graph.from_bytes(sample_models.relu_chain(["x", "y", "z"]).build())
    assert graph.producer == {1: 0, 2: 1}
    assert graph.last_use == {0: 0, 1: 1, 2: 2}


def test_input_is_no_constant_when_the_file_holds_a_value_for_it() -> None:
    builder = ModelBuilder()
    x, y = builder.main.tensor([1, 2], data=np.ones((1, 2), np.float32)), builder.main.tensor([1, 2])
    builder.main.operator("RELU", [x], [y])
    builder.main.ends([x], [y])
    assert Graph.from_bytes(builder.build()).operators[0].inputs == (x,)


def test_output_that_was_left_out_is_no_tensor() -> None:
    builder = sample_models.relu_chain(["x", "y"])
    builder.main.raw.operators[0].outputs = np.array([1, -1], np.int32)
    assert Graph.from_bytes(builder.build()).operators[0].outputs == (1,)


def test_operator_kind_is_read_from_either_field_of_the_file() -> None:
    builder = sample_models.relu_chain(["x", "y"])
    (code,) = builder.raw.operatorCodes
    code.builtinCode = 0  # as old files have it
    assert Graph.from_bytes(builder.build()).operators[0].kind == "RELU"
    code.deprecatedBuiltinCode, code.builtinCode = 127, schema.BuiltinOperator.GELU
    assert Graph.from_bytes(builder.build()).operators[0].kind == "GELU"
    code.builtinCode = 9999
    assert Graph.from_bytes(builder.build()).operators[0].kind == "UNKNOWN"


def test_constants_behind_the_flatbuffer_are_found() -> None:
    builder = _with_constant_behind(size=8)
    data = _appended(builder, np.array([-1.0, 2.0], np.float32).tobytes())
    graph = Graph.from_bytes(data)
    assert graph.tensors[2].is_constant
    assert bytes(graph.model.buffers[-1].data) == np.array([-1.0, 2.0], np.float32).tobytes()
    assert bytes(graph.model.subgraphs[0].operators[0].customOptions) == np.array([2.0], np.float32).tobytes()
    with pytest.raises(ModelFormatError, match="truncated: constants reach to byte"):
        Graph.from_bytes(data[:-1])


def _with_constant_behind(size: int) -> ModelBuilder:
    builder = sample_models.relu_chain(["x", "y"])
    builder.main.tensor([1, 2], name="far")
    builder.raw.buffers[-1] = schema.BufferT(offset=2, size=size)
    builder.main.raw.operators[0].largeCustomOptionsOffset = 2
    builder.main.raw.operators[0].largeCustomOptionsSize = 4
    return builder


def _appended(builder: ModelBuilder, behind: bytes) -> bytes:
    """The file with `behind` appended. Its length is the same whatever the offsets are, as long as they are set."""
    length = len(builder.build())
    builder.raw.buffers[-1].offset = length
    builder.main.raw.operators[0].largeCustomOptionsOffset = length + 4
    return builder.build() + behind


def _broken(what: str) -> bytes:
    builder = sample_models.bit_of_everything()
    raw, main = builder.raw, builder.main.raw
    while_operator = main.operators[1]
    if what == "tensor":
        main.operators[0].inputs = np.array([99], np.int32)
    elif what == "negative tensor":
        main.operators[0].outputs = np.array([-2], np.int32)
    elif what == "intermediate":
        main.operators[0].intermediates = np.array([99], np.int32)
    elif what == "input":
        main.inputs = np.array([99], np.int32)
    elif what == "output":
        main.outputs = np.array([-1], np.int32)
    elif what == "buffer":
        main.tensors[0].buffer = 99
    elif what == "metadata":
        raw.metadata[0].buffer = 99
    elif what == "operator code":
        main.operators[0].opcodeIndex = 99
    elif what == "subgraph":
        while_operator.builtinOptions.bodySubgraphIndex = 99
    elif what == "inner tensor":
        raw.subgraphs[3].operators[0].inputs = np.array([99, 0], np.int32)
    elif what == "scales":
        details = schema.BlockwiseQuantizationT(scales=99, zeroPoints=-1, blockSize=2)
        kind = schema.QuantizationDetails.BlockwiseQuantization
        main.tensors[0].quantization = schema.QuantizationParametersT(details=details, detailsType=kind)
    return builder.build()


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("tensor", "an operator names tensor 99"),
        ("negative tensor", "an operator names tensor -2"),
        ("intermediate", "an operator names tensor 99"),
        ("input", "a graph names tensor 99"),
        ("output", "a graph names tensor -1"),
        ("buffer", "a tensor names buffer 99"),
        ("metadata", "metadata names buffer 99"),
        ("operator code", "an operator names operator code 99"),
        ("subgraph", "an operator names subgraph 99"),
        ("inner tensor", "an operator names tensor 99"),
        ("scales", "blockwise scales name tensor 99"),
    ],
)
def test_read_refuses_a_file_that_points_outside_itself(what: str, message: str) -> None:
    with pytest.raises(ModelFormatError, match=f"corrupt: {message}"):
        Graph.from_bytes(_broken(what))


def test_read_refuses_constants_in_another_file() -> None:
    builder = sample_models.relu_chain(["x", "y"])
    builder.main.raw.tensors[0].externalBuffer = 1
    with pytest.raises(ModelFormatError, match="constants in another file"):
        Graph.from_bytes(builder.build())


def test_read_refuses_operators_out_of_order() -> None:
    builder = sample_models.relu_chain(["x", "y", "z"])
    builder.main.raw.operators.reverse()
    with pytest.raises(ModelFormatError, match="read before they are computed: y"):
        Graph.from_bytes(builder.build())


def test_read_refuses_a_tensor_computed_twice() -> None:
    builder = sample_models.relu_chain(["x", "y", "z"])
    builder.main.raw.operators.append(builder.main.raw.operators[0])
    with pytest.raises(ModelFormatError, match="computed more than once: y"):
        Graph.from_bytes(builder.build())


def test_read_refuses_a_graph_that_computes_nothing_on_its_inputs() -> None:
    builder = ModelBuilder()
    builder.main.ends([builder.main.tensor([1])], [])
    half, full = builder.main.constant(np.ones(2, np.float16)), builder.main.tensor([2])
    builder.main.operator("DEQUANTIZE", [half], [full], schema.DequantizeOptionsT())
    with pytest.raises(ModelFormatError, match="no operator that computes"):
        Graph.from_bytes(builder.build())


def test_read_refuses_another_schema_version() -> None:
    builder = sample_models.relu_chain(["x", "y"])
    builder.raw.version = 4
    with pytest.raises(ModelFormatError, match="version 4 is not known; expected 3"):
        Graph.from_bytes(builder.build())


@pytest.mark.parametrize("missing", ["subgraphs", "buffers", "operatorCodes"])
def test_read_refuses_a_file_without_a_graph(missing: str) -> None:
    builder = sample_models.relu_chain(["x", "y"])
    setattr(builder.raw, missing, [])
    with pytest.raises(ModelFormatError, match="holds no graph"):
        Graph.from_bytes(builder.build())


@pytest.mark.parametrize("data", [b"", b"TFL3", b"\x89HDF\r\n\x1a\n" * 9, b"PK\x03\x04" * 20])
def test_read_refuses_another_kind_of_file(data: bytes) -> None:
    with pytest.raises(ModelFormatError, match="not a TFLite file"):
        Graph.from_bytes(data)


def test_read_gives_a_graph_or_a_typed_error_when_the_file_is_truncated_anywhere() -> None:
    data = sample_models.bit_of_everything().build()
    read = 0
    for length in range(len(data)):
        try:
            _read_completely(data[:length])
            read += 1
        except ModelFormatError:
            pass
    # The last bytes hold an operator code and padding, which some cuts leave readable; nothing else survives.
    assert read < 40


def test_read_gives_a_graph_or_a_typed_error_when_bytes_are_changed_at_random() -> None:
    data = sample_models.bit_of_everything().build()
    rng = random.Random(20)
    refused = sum(_is_refused(_mutated(data, rng)) for _ in range(_MUTATIONS))
    # Neither all nor nothing: changed constants and names are still a graph.
    assert _MUTATIONS * 0.1 < refused < _MUTATIONS * 0.9


def _is_refused(data: bytes) -> bool:
    try:
        _read_completely(data)
    except ModelFormatError:
        return True
    return False


def _mutated(data: bytes, rng: random.Random) -> bytes:
    """One to four places changed: a bit, a byte, or a word that is likely to be an offset, a length or an index."""
    changed = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        place = rng.randrange(len(changed) - 4)
        word: Any = rng.choice(
            [0, 1, 0xFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, rng.getrandbits(32), rng.getrandbits(8)]
        )
        width = rng.choice([1, 2, 4])
        if rng.random() < 0.3:
            changed[place] ^= 1 << rng.randrange(8)
        else:
            changed[place : place + width] = word.to_bytes(4, "little")[:width]
    return bytes(changed)


def test_reading_leaves_the_file_as_it_is() -> None:
    builder = sample_models.bit_of_everything()
    data = builder.build()
    graph = Graph.from_bytes(data)
    before = pack(graph.model)
    _read_completely(data)
    for spec in plan_partitions(graph, [1, 2]):
        extract_partition(graph, spec)
    assert pack(graph.model) == before


def test_read_refuses_a_file_whose_vectors_share_their_tables() -> None:
    """Two hundred subgraphs that are one, with two hundred tensors that are one: forty thousand of them in some 2 KB."""
    count = 200
    builder = flatbuffers.Builder(4096)
    schema.TensorStart(builder)
    tensor = schema.TensorEnd(builder)

    def vector(start: Callable[[flatbuffers.Builder, int], int], entry: int) -> int:
        start(builder, count)
        for _ in range(count):
            builder.PrependUOffsetTRelative(entry)
        return int(builder.EndVector())

    tensors = vector(schema.SubGraphStartTensorsVector, tensor)
    schema.SubGraphStart(builder)
    schema.SubGraphAddTensors(builder, tensors)
    subgraphs = vector(schema.ModelStartSubgraphsVector, schema.SubGraphEnd(builder))
    schema.ModelStart(builder)
    schema.ModelAddVersion(builder, 3)
    schema.ModelAddSubgraphs(builder, subgraphs)
    builder.Finish(schema.ModelEnd(builder), b"TFL3")
    with pytest.raises(ModelFormatError, match="cannot hold 40000 tensors"):
        Graph.from_bytes(bytes(builder.Output()))

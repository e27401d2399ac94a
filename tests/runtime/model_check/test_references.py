"""Numbers that name nothing, graphs that call themselves, data beyond the file; operators and memory that are found."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from runtime import MalformedModelError
from runtime.model_check import OWN_OPERATORS, examine
from tests.node_service.model_files import custom_model, endless_model
from tests.partitioning.graph_builder import ModelBuilder, pack
from tests.partitioning.sample_models import accumulator, count_up


def small() -> ModelBuilder:
    builder = ModelBuilder()
    main = builder.main
    x, y = main.tensor([1, 4]), main.tensor([1, 4])
    main.operator("ADD", [x, main.constant(np.ones(4, np.float32))], [y], schema.AddOptionsT())
    main.ends([x], [y])
    return builder


def findings(builder: ModelBuilder) -> Any:
    return examine(memoryview(builder.build()))


def _set(what: Callable[[Any], Any], **fields: Any) -> Callable[[Any], None]:
    def change(model: Any) -> None:
        for name, value in fields.items():
            setattr(what(model), name, value)

    return change


def graph(model: Any) -> Any:
    return model.subgraphs[0]


def tensor(model: Any) -> Any:
    return model.subgraphs[0].tensors[1]


def operator(model: Any) -> Any:
    return model.subgraphs[0].operators[0]


def signature(graph_index: int, tensor_index: int) -> Any:
    entry = schema.TensorMapT(name=b"x", tensorIndex=tensor_index)
    return schema.SignatureDefT(inputs=[entry], outputs=[], subgraphIndex=graph_index, signatureKey=b"k")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (_set(lambda m: m, version=4), "schema version 4; expected 3"),
        (_set(lambda m: m, subgraphs=[]), "holds no graph"),
        (_set(lambda m: m, operatorCodes=[]), "holds no graph, no operators"),
        (_set(tensor, buffer=99), "tensor 1 of graph 0 names buffer 99, and there are"),
        (_set(tensor, type=120), "tensor 1 of graph 0 is of type 120"),
        (_set(tensor, shape=np.array([1, -2], np.int32)), "negative dimension"),
        (_set(tensor, shape=np.ones(33, np.int32)), "33 dimensions"),
        (_set(operator, opcodeIndex=1), "operator 0 of graph 0 names kind 1, and there are 1"),
        (_set(operator, inputs=np.array([0, 3], np.int32)), "operator 0 of graph 0 names tensor 3, and there are 3"),
        (_set(operator, outputs=np.array([-2], np.int32)), "operator 0 of graph 0 names tensor -2"),
        (_set(graph, inputs=np.array([-1], np.int32)), "graph 0 names tensor -1"),
        (_set(graph, outputs=np.array([2**31 - 1], np.int32)), "graph 0 names tensor 2147483647"),
        (lambda m: m.buffers.append(schema.BufferT(offset=2**40, size=2**63)), r"buffer \d ends at byte"),
        (
            _set(operator, largeCustomOptionsOffset=2**40, largeCustomOptionsSize=1),
            "operator 0 of graph 0 ends at byte",
        ),
        (_set(lambda m: m, signatureDefs=[signature(1, 0)]), "a signature names graph 1"),
        (_set(lambda m: m, signatureDefs=[signature(0, 7)]), "a signature names tensor 7"),
        (_set(lambda m: m, metadata=[schema.MetadataT(name=b"x", buffer=50)]), "a metadata entry names buffer 50"),
        (_set(lambda m: m, externalBuffers=[schema.ExternalBufferT()]), "weights are in other files"),
    ],
)
def test_what_names_nothing_is_refused(change: Callable[[Any], None], words: str) -> None:
    builder = small()
    findings(builder)
    change(builder.raw)
    with pytest.raises(MalformedModelError, match=words):
        examine(memoryview(pack(builder.raw)))


@pytest.mark.parametrize(("condition", "body"), [(0, 2), (1, 9), (-1, 2), (2, 2)])
def test_graphs_that_are_not_there_or_call_themselves_are_refused(condition: int, body: int) -> None:
    builder = count_up()
    findings(builder)
    loop = next(
        o for g in builder.raw.subgraphs for o in g.operators if isinstance(o.builtinOptions, schema.WhileOptionsT)
    )
    loop.builtinOptions.condSubgraphIndex, loop.builtinOptions.bodySubgraphIndex = condition, body
    if (condition, body) == (2, 2):
        findings(builder)  # twice the same graph is no loop
    else:
        with pytest.raises(MalformedModelError, match=r"calls itself|calls graph"):
            findings(builder)


def test_own_operators_are_allowed_those_with_state_too() -> None:
    assert findings(accumulator()).foreign_operators == ()
    assert examine(memoryview(endless_model())).foreign_operators == ()
    assert {"CALL_ONCE", "VAR_HANDLE", "READ_VARIABLE", "WHILE", "CONV_2D"} <= OWN_OPERATORS
    assert not {"CUSTOM", "DELEGATE"} & OWN_OPERATORS


@pytest.mark.parametrize(
    ("name", "found"), [("FlexErf", "FlexErf"), ("", "CUSTOM"), ("a\nb", r"a\nb"), ("x" * 99, "x" * 64)]
)
def test_foreign_operators_are_named(name: str, found: str) -> None:
    assert examine(memoryview(custom_model(name))).foreign_operators == (found,)


def test_numbers_that_stand_for_no_operator_are_foreign() -> None:
    builder = small()
    builder.raw.operatorCodes[0].builtinCode = 9999
    assert findings(builder).foreign_operators == ("number 9999",)


def test_memory_is_the_file_and_what_is_alive_at_a_time() -> None:
    """x -> a -> b -> c, 4000 bytes each: two of them at a time, and x and c all the time."""
    builder = ModelBuilder()
    main = builder.main
    chain = [main.tensor([1000]) for _ in range(4)]
    for one, other in zip(chain, chain[1:]):
        main.operator("RELU", [one], [other])
    main.ends([chain[0]], [chain[3]])
    data = builder.build()
    assert examine(memoryview(data)).need_bytes == len(data) + 4 * 4000


def test_shapes_from_outside_overflow_nothing() -> None:
    builder = small()
    builder.raw.subgraphs[0].tensors[1].shape = np.full(32, 2**31 - 1, np.int32)
    assert findings(builder).need_bytes > 4 * (2**31 - 1) ** 32

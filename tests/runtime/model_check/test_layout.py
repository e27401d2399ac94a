"""The layout in the tree is that of LiteRT's classes, and the reader reads what they read."""

from __future__ import annotations

from pathlib import Path

import pytest
from ai_edge_litert import schema_py_generated as schema

from partitioning.tflite_schema import read_model
from runtime.model_check import layout_text
from runtime.model_check.generate_layout import layout_text as generated
from runtime.model_check.layout import OPERATORS, TABLES, TYPES, UNIONS
from runtime.model_check.structure import verified_model
from tests.bundles import zoo_file


def test_layout_is_what_the_generator_makes() -> None:
    """Else: python -m runtime.model_check.generate_layout > runtime/model_check/layout_text.py"""
    assert Path(layout_text.__file__).read_text() == generated(schema) + "\n"


def test_every_table_and_union_member_is_known() -> None:
    targets = {field.target for fields in TABLES.values() for field in fields if field.kind.startswith("table")}
    assert targets | {member for members in UNIONS.values() for member in members.values()} <= set(TABLES)
    assert {f.target for fields in TABLES.values() for f in fields if f.kind == "union"} == set(UNIONS)
    assert not [f for fields in TABLES.values() for f in fields if f.kind == "strings"]
    assert OPERATORS[3] == "CONV_2D"
    assert TYPES[0] == "FLOAT32"


@pytest.mark.parametrize(("name", "mode"), [("residual", "int8"), ("gru", "float32"), ("attention", "float16")])
def test_reader_reads_what_the_generated_classes_read(name: str, mode: str) -> None:
    data = zoo_file(name, mode).read_bytes()
    ours, theirs = verified_model(memoryview(data)), read_model(data)
    assert [b.count("Data") for b in ours.tables("Buffers")] == [
        0 if b.data is None else len(b.data) for b in theirs.buffers
    ]
    for graph, other in zip(ours.tables("Subgraphs"), theirs.subgraphs):
        assert graph.count("Tensors") == len(other.tensors)
        for tensor, raw in zip(graph.tables("Tensors"), other.tensors):
            assert tensor.text("Name").encode() == raw.name
            assert list(tensor.numbers("Shape")) == ([] if raw.shape is None else list(raw.shape))
            assert (tensor.number("Buffer"), tensor.number("Type")) == (raw.buffer, raw.type)
        for operator, raw in zip(graph.tables("Operators"), other.operators):
            assert list(operator.numbers("Inputs")) == list(raw.inputs)
            options = operator.union("BuiltinOptions")
            assert (options.name + "T" if options else "NoneType") == type(raw.builtinOptions).__name__

"""The oldest runtime that a file asks for."""

from __future__ import annotations

import pytest

from partitioning import Graph
from partitioning.runtime_floor import read_runtime_floor
from tests.partitioning import sample_models


@pytest.mark.parametrize("written", [b"2.17.0", b"2.17.0" + bytes(10)])
def test_floor_is_what_the_converter_wrote(written: bytes) -> None:
    builder = sample_models.relu_chain(["x", "y"])
    builder.metadata("CONVERSION_METADATA", b"other")
    builder.metadata("min_runtime_version", written)
    assert read_runtime_floor(Graph.from_bytes(builder.build())) == "2.17.0"


def test_floor_is_empty_when_the_converter_wrote_none() -> None:
    builder = sample_models.relu_chain(["x", "y"])
    assert read_runtime_floor(Graph.from_bytes(builder.build())) == ""
    builder.metadata("CONVERSION_METADATA", b"other")
    assert read_runtime_floor(Graph.from_bytes(builder.build())) == ""


def test_floor_is_empty_when_its_buffer_is() -> None:
    builder = sample_models.relu_chain(["x", "y"])
    builder.metadata("min_runtime_version", b"")
    assert read_runtime_floor(Graph.from_bytes(builder.build())) == ""

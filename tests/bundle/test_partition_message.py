"""Tensors of a graph as the contracts describe them."""

from __future__ import annotations

import pytest

from bundle.partition_message import tensor_spec
from partitioning import Graph
from protos.v1.tensor_pb2 import DType, Quantization, TensorSpec
from tests.partitioning.graph_builder import ModelBuilder


def graph_of(dtype: str, **fields: object) -> Graph:
    """x -> relu -> y"""
    builder = ModelBuilder()
    x = builder.main.tensor((1, 4), dtype, name="x", **fields)  # type: ignore[arg-type]
    y = builder.main.tensor((1, 4), dtype, name="y")
    builder.main.operator("RELU", [x], [y])
    builder.main.ends([x], [y])
    return Graph.from_bytes(builder.build())


def test_spec_has_name_dtype_and_shape() -> None:
    expected = TensorSpec(name="x", dtype=DType.FLOAT32, shape=[1, 4])
    assert tensor_spec(graph_of("float32"), 0) == expected


def test_spec_has_scale_and_zero_point_when_quantised() -> None:
    spec = tensor_spec(graph_of("int8", scale=0.5, zero_point=-3), 0)
    assert spec.quantization == Quantization(scale=0.5, zero_point=-3)


def test_spec_has_minus_one_where_the_size_is_open() -> None:
    assert list(tensor_spec(graph_of("float32", signature=(-1, 4)), 0).shape) == [-1, 4]


@pytest.mark.parametrize("fields", [{}, {"scale": (0.5,) * 4}])
def test_spec_has_no_scale_when_the_tensor_has_none_of_its_own(fields: dict[str, object]) -> None:
    assert not tensor_spec(graph_of("int8", **fields), 0).HasField("quantization")


def test_spec_of_a_float_has_no_scale_when_training_left_one_in_the_file() -> None:
    assert not tensor_spec(graph_of("float32", scale=0.5), 0).HasField("quantization")

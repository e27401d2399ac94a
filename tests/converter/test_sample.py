"""The sample of a bundle: the user's, checked and quantised, or the same random one every time."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from converter.errors import CalibrationError
from converter.sample import make_sample
from partitioning import Graph, ModelFormatError
from tests import zoo
from tests.bundles import load_zoo_model
from tests.partitioning.graph_builder import ModelBuilder


def graph_of(shape: tuple[int, ...], dtype: str, **fields: Any) -> Graph:
    """x -> relu -> y"""
    builder = ModelBuilder()
    x = builder.main.tensor(shape, dtype, name="x", **fields)
    y = builder.main.tensor(shape, dtype, name="y")
    builder.main.operator("RELU", [x], [y])
    builder.main.ends([x], [y])
    return Graph.from_bytes(builder.build())


QUANTISED = graph_of((1, 4), "int8", scale=0.5, zero_point=1)


@pytest.mark.parametrize("name", ["residual", "two_inputs", "lstm"])
@pytest.mark.parametrize("mode", ["float32", "int8"])
def test_random_sample_fits_the_model_and_is_always_the_same(name: str, mode: str) -> None:
    graph = load_zoo_model(name, mode).graph
    sample = make_sample(graph, None)
    again = make_sample(graph, None)
    assert list(sample) == list(graph.inputs)
    for index, array in sample.items():
        assert array.dtype == graph.tensors[index].dtype
        assert array.shape == graph.tensors[index].usual_shape
        assert len(np.unique(array)) >= 12
        assert again[index].tobytes() == array.tobytes()


def test_random_sample_covers_all_values_of_a_quantised_type() -> None:
    (array,) = make_sample(graph_of((1, 10_000), "int8", scale=0.5), None).values()
    assert (array.min(), array.max()) == (-128, 127)


@pytest.mark.parametrize("dtype", ["int32", "bool"])
def test_random_sample_is_zeros_and_ones_when_integers_may_be_indices(dtype: str) -> None:
    (array,) = make_sample(graph_of((1, 100), dtype), None).values()
    assert array.dtype == dtype
    assert set(array.ravel().tolist()) == {0, 1}


def test_random_sample_has_the_usual_size_where_the_size_is_open() -> None:
    (array,) = make_sample(graph_of((1, 4), "float32", signature=(-1, 4)), None).values()
    assert array.shape == (1, 4)


def test_given_real_numbers_are_quantised_when_the_input_is() -> None:
    (array,) = make_sample(QUANTISED, {"x": np.array([[0, 0.5, 1, 1000]], np.float32)}).values()
    assert array.dtype == np.int8
    assert array.tolist() == [[1, 2, 3, 127]]


def test_given_integers_are_kept_when_the_input_is_quantised() -> None:
    (array,) = make_sample(QUANTISED, {"x": np.array([[-128, 0, 1, 127]], np.int8)}).values()
    assert array.tolist() == [[-128, 0, 1, 127]]


def test_given_sample_is_found_by_the_signatures_name() -> None:
    graph = load_zoo_model("two_inputs", "float32").graph
    given = zoo.inputs("two_inputs")
    for index, array in make_sample(graph, given).items():
        assert array.tobytes() == given[graph.aliases[index]].tobytes()


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (
            np.zeros((1, 5), np.float32),
            r"sample does not fit the model: x has shape \[1, 5\], expected x: int8 \[1, 4\]",
        ),
        (np.zeros(4, np.int8), r"Add the batch dimension"),
        (np.zeros((1, 4), np.int16), "x has dtype int16, expected x: int8"),
        (np.full((1, 4), np.nan, np.float32), "x holds NaN in 4 of 4 places"),
    ],
)
def test_given_sample_is_refused_when_it_does_not_fit(array: np.ndarray[Any, Any], message: str) -> None:
    with pytest.raises(CalibrationError, match=message):
        make_sample(QUANTISED, {"x": array})


def test_sample_is_refused_when_an_input_cannot_travel() -> None:
    graph = graph_of((1, 4), "int8", tensor_type=schema.TensorType.STRING)
    with pytest.raises(ModelFormatError, match="input x has type STRING, which cannot travel"):
        make_sample(graph, None)

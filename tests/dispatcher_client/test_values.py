"""Inputs by array or name, real numbers for quantised models, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest

from dispatcher_client import InputError
from dispatcher_client.values import from_tensors, to_tensors
from protos.v1.tensor_pb2 import DType, Quantization, TensorSpec

IMAGE = TensorSpec(name="serving_default_image:0", alias="image", dtype=DType.FLOAT32, shape=[1, 4, 4, 1])
TOKENS = TensorSpec(name="tokens", dtype=DType.INT32, shape=[1, 3])
Q_IMAGE = TensorSpec(
    name="q", alias="image", dtype=DType.INT8, shape=[1, 2], quantization=Quantization(scale=0.5, zero_point=-10)
)
X = np.ones((1, 4, 4, 1), np.float32)
T = np.ones((1, 3), np.int32)


def test_one_array_is_taken_when_the_model_has_one_input() -> None:
    tensors, is_real = to_tensors([IMAGE], X)
    assert tensors[0] is X
    assert is_real


@pytest.mark.parametrize("names", [("image", "tokens"), ("serving_default_image:0", "tokens")])
def test_inputs_are_taken_by_either_name_in_the_models_order(names: tuple[str, str]) -> None:
    tensors, _ = to_tensors([IMAGE, TOKENS], {names[1]: T, names[0]: X})
    assert tensors[0] is X
    assert tensors[1] is T


def test_real_numbers_are_quantised_and_answers_dequantised() -> None:
    tensors, is_real = to_tensors([Q_IMAGE], np.array([[1.0, 1000.0]]))
    assert tensors[0].dtype == np.int8
    assert tensors[0].tolist() == [[-8, 127]]
    answer = from_tensors([Q_IMAGE], {"q": tensors[0]}, is_real)
    assert isinstance(answer, np.ndarray)
    assert answer.tolist() == [[1.0, 68.5]]


def test_integers_pass_as_they_are_both_ways() -> None:
    x = np.array([[3, 4]], np.int8)
    tensors, is_real = to_tensors([Q_IMAGE], x)
    assert tensors[0] is x
    assert not is_real
    assert from_tensors([Q_IMAGE], {"q": x}, is_real) is x


def test_several_outputs_come_by_name() -> None:
    answer = from_tensors([IMAGE, TOKENS], {"tokens": T, "serving_default_image:0": X}, True)
    assert isinstance(answer, dict)
    assert list(answer) == ["image", "tokens"]


@pytest.mark.parametrize(
    ("specs", "values", "words"),
    [
        ([IMAGE], X[0], ["shape [4, 4, 1]", "float32 [1, 4, 4, 1]", "x[None]"]),
        ([IMAGE], X[:, :3], ["shape [1, 3, 4, 1]", "expected image: float32 [1, 4, 4, 1]"]),
        ([IMAGE], X.astype(np.float64), ["dtype float64", "x.astype('float32')"]),
        ([Q_IMAGE], np.array([[np.nan, 1.0]]), ["NaN in 1 of 2 places"]),
        ([Q_IMAGE], np.array([[1, 2]], np.uint8), ["dtype uint8", "int8"]),
        ([IMAGE, TOKENS], X, ["2 inputs", "image: float32", "tokens: int32"]),
        ([IMAGE, TOKENS], {"image": X}, ["missing", "tokens: int32 [1, 3]"]),
        ([IMAGE], {"imgae": X}, ["no input 'imgae'", "Did you mean 'image'"]),
        ([IMAGE], {"image": X.tolist()}, ["image must be numpy arrays"]),
        ([IMAGE], [1, 2], ["not list"]),
    ],
)
def test_wrong_input_is_refused_with_what_was_expected(
    specs: list[TensorSpec], values: object, words: list[str]
) -> None:
    with pytest.raises(InputError) as caught:
        to_tensors(specs, values)  # type: ignore[arg-type]
    assert all(word in str(caught.value) for word in words), str(caught.value)

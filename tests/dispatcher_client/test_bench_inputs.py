"""Inputs of a bench: several in one file, and variations of one."""

from __future__ import annotations

import numpy as np
import pytest

from dispatcher_client import InputError
from dispatcher_client.bench_inputs import inputs_to_compare, split_inputs
from protos.v1.tensor_pb2 import DType, Quantization, TensorSpec

IMAGE = TensorSpec(name="image:0", alias="image", dtype=DType.FLOAT32, shape=[1, 2, 3])
WORDS = TensorSpec(name="words", dtype=DType.INT32, shape=[1, 5])
SCALED = TensorSpec(name="scaled", dtype=DType.INT8, shape=[1, 50], quantization=Quantization(scale=0.5))
ANY_NUMBER = TensorSpec(name="any", dtype=DType.FLOAT32, shape=[-1, 3])
SCALAR = TensorSpec(name="scalar", dtype=DType.FLOAT32, shape=[])


def test_inputs_lie_along_the_first_dimension_of_every_array() -> None:
    images, words = np.arange(24, dtype="f4").reshape(4, 2, 3), np.arange(20, dtype="i4").reshape(4, 5)
    found = split_inputs([IMAGE, WORDS], {"words": words, "image": images})
    assert len(found) == 4
    for index, one in enumerate(found):
        assert np.array_equal(one["image:0"], images[index : index + 1])
        assert np.array_equal(one["words"], words[index : index + 1])


@pytest.mark.parametrize(
    ("spec", "array"),
    [
        (IMAGE, np.zeros((1, 2, 3), "f4")),
        (IMAGE, np.zeros((4, 3, 2), "f4")),  # whoever sends it is told
        (IMAGE, np.zeros((0, 2, 3), "f4")),
        (IMAGE, np.zeros((2, 3), "f4")),
        (ANY_NUMBER, np.zeros((7, 3), "f4")),
        (SCALAR, np.zeros((), "f4")),
        (SCALAR, np.zeros(3, "f4")),
    ],
)
def test_what_is_one_input_or_none_stays_as_it_is(spec: TensorSpec, array: np.ndarray) -> None:
    (found,) = split_inputs([spec], array)
    assert found[spec.name] is array


def test_arrays_that_hold_different_numbers_of_inputs_stay_as_they_are() -> None:
    (found,) = split_inputs([IMAGE, WORDS], {"image": np.zeros((4, 2, 3), "f4"), "words": np.zeros((2, 5), "i4")})
    assert found["words"].shape == (2, 5)


def test_unknown_input_is_refused() -> None:
    with pytest.raises(InputError, match="no input 'picture'"):
        split_inputs([IMAGE, WORDS], {"picture": np.zeros(1), "words": np.zeros(1)})


def test_several_given_inputs_are_compared_as_they_are_and_a_bounded_number_of_them() -> None:
    given = [{"any": np.full((1, 3), n, "f4")} for n in range(300)]
    found, source = inputs_to_compare([ANY_NUMBER], given[:4], is_sample=False)
    assert [one["any"][0, 0] for one in found] == [0, 1, 2, 3]
    assert source == "those given"
    found, source = inputs_to_compare([ANY_NUMBER], given, is_sample=False)
    assert len(found) == 256
    assert source == "the first of the 300 given"


@pytest.mark.parametrize(("n_given", "is_sample"), [(1, True), (1, False), (4, True)])
def test_few_inputs_are_varied_and_that_is_said(n_given: int, is_sample: bool) -> None:
    generator = np.random.default_rng(1)
    specs = [IMAGE, WORDS, SCALED]
    given = [
        {
            "image:0": generator.standard_normal((1, 2, 3)).astype("f4"),
            "words": generator.integers(0, 99, (1, 5), "i4"),
            "scaled": generator.integers(-50, 50, (1, 50), "i1"),
        }
        for _ in range(n_given)
    ]
    found, source = inputs_to_compare(specs, given, is_sample=is_sample)
    assert len(found) == 32
    assert ("the sample" if is_sample else "the one given") in source
    assert "seeded random variations" in source
    for name, dtype in (("image:0", "f4"), ("words", "i4"), ("scaled", "i1")):
        assert len({one[name].tobytes() for one in found}) > 16
        for index, one in enumerate(found):
            original = given[index % n_given][name]
            assert one[name].dtype == np.dtype(dtype)
            assert one[name].shape == original.shape
            assert original.min() <= one[name].min()
            assert one[name].max() <= original.max()
            if name == "words":  # indices: only those that are surely there
                assert sorted(one[name][0]) == sorted(original[0])
    again, _ = inputs_to_compare(specs, given, is_sample=is_sample)
    assert all(a[n].tobytes() == b[n].tobytes() for a, b in zip(found, again) for n in a)


@pytest.mark.parametrize("array", [np.zeros((0, 3), "f4"), np.array([[1, np.nan, np.inf]], "f4")])
def test_what_cannot_be_varied_stays_as_it_is(array: np.ndarray) -> None:
    found, _ = inputs_to_compare([ANY_NUMBER], [{"any": array}], is_sample=True)
    assert {one["any"].tobytes() for one in found} == {array.tobytes()}

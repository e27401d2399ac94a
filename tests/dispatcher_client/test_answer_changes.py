"""What is said of answers that differ."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from dispatcher_client.answer_changes import ChangeTally, OutputChange, largest_difference
from protos.v1.tensor_pb2 import DType, Quantization, TensorSpec

FLOATS = TensorSpec(name="Identity", alias="classes", dtype=DType.FLOAT32, shape=[1, 4])
SCALED = TensorSpec(name="q", dtype=DType.INT8, shape=[1, 4], quantization=Quantization(scale=0.5, zero_point=-10))
COUNTS = TensorSpec(name="n", dtype=DType.INT32, shape=[1, 4])


def change(spec: TensorSpec, *pairs: tuple[object, object], dtype: str = "f4") -> OutputChange:
    tally = ChangeTally(spec)
    for exact, changed in pairs:
        tally.note(np.array(exact, dtype), np.array(changed, dtype))
    return tally.result()


def test_figures_are_those_of_all_answers_together() -> None:
    found = change(
        FLOATS,
        ([[0, 1, 2, 3]], [[0, 1, 2, 3.5]]),
        ([[0, 1, 2, -1]], [[0, 2.25, 2, -1]]),
        ([[0, 9, 2, 3]], [[0, 9, 2, 3]]),
        ([[0, 1, 2, 3]], [[0, 1, 2, 3]]),
    )
    assert found == OutputChange("classes", (1, 4), 1.25, 1.25 / 10, 1, 0.75)
    assert str(found) == "classes by up to 1.25 (12.50% of its range), the first choice agrees for 75.0%"


def test_quantised_answers_are_compared_in_real_numbers() -> None:
    found = change(SCALED, ([[0, 10, 20, 30]], [[2, 10, 20, 30]]), dtype="i1")
    assert (found.largest_difference, found.share_of_range, found.top1_agreement) == (1.0, 1 / 15, 1.0)


@pytest.mark.parametrize(
    ("spec", "answer", "axis"),
    [
        (FLOATS, np.zeros((1, 4), "f4"), 1),
        (FLOATS, np.zeros((1, 4, 1, 1), "f4"), 1),
        (FLOATS, np.zeros(4, "f4"), 0),
        (SCALED, np.zeros((1, 4), "i1"), 1),
        (FLOATS, np.zeros((1, 8, 8, 4), "f4"), None),  # no vector
        (FLOATS, np.zeros((1, 1), "f4"), None),  # nothing to choose from
        (FLOATS, np.zeros((), "f4"), None),
        (FLOATS, np.zeros((1, 0), "f4"), None),
        (COUNTS, np.zeros((1, 4), "i4"), None),  # no scores
    ],
)
def test_first_choice_is_that_of_vectors_of_scores(spec: TensorSpec, answer: np.ndarray, axis: int | None) -> None:
    tally = ChangeTally(spec)
    tally.note(answer, answer)
    found = tally.result()
    assert found.top1_axis == axis
    assert (found.top1_agreement is None) == (axis is None)
    assert (found.largest_difference, found.share_of_range) == (0, 0)
    assert ("first choice" in str(found)) == (axis is not None)


def test_first_of_equals_is_the_choice() -> None:
    assert change(FLOATS, ([[1, 1, 0, 0]], [[1, 1.5, 0, 0]])).top1_agreement == 0
    assert change(FLOATS, ([[1, 1, 0, 0]], [[1.5, 1, 0, 0]])).top1_agreement == 1


@pytest.mark.parametrize(
    ("one", "other", "difference"),
    [
        ([1.0, -2.0], [1.5, 2.0], 4.0),
        ([math.nan, math.inf], [math.nan, math.inf], 0.0),
        ([math.nan, 0.0], [1.0, 0.0], math.inf),
        ([math.inf], [-math.inf], math.inf),
        ([math.inf], [1.0], math.inf),
        ([1.0], [1.0, 2.0], math.inf),
        ([], [], 0.0),
    ],
)
def test_largest_difference_knows_what_is_no_number(one: list[float], other: list[float], difference: float) -> None:
    assert largest_difference(np.array(one), np.array(other)) == difference


def test_integers_that_are_far_apart_do_not_overflow() -> None:
    assert largest_difference(np.array([-128], "i1"), np.array([127], "i1")) == 255


def test_difference_in_an_output_without_a_range_has_no_share_and_json_says_null() -> None:
    found = change(FLOATS, ([[2, 2, 2, 2]], [[2, 2, 2, 3]]))
    assert found.share_of_range == math.inf
    document = json.loads(json.dumps(found.as_json()))
    assert (document["share_of_range"], document["largest_difference"]) == (None, 1)
    assert change(FLOATS, ([[math.nan] * 4], [[0] * 4])).share_of_range == math.inf

"""When two vectors of scores choose the same class."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dispatcher_client.comparison.choices import Agreement, AgreementTally
from protos.v1.tensor_pb2 import DType, TensorSpec


def agreement(pairs: Sequence[tuple[Sequence[float], Sequence[float]]], shape: Sequence[int]) -> Agreement | None:
    tally = AgreementTally(TensorSpec(name="scores", dtype=DType.FLOAT32, shape=shape))
    for exact, found in pairs:
        tally.note(np.array(exact, np.float32).reshape(shape), np.array(found, np.float32).reshape(shape))
    return tally.result()


def test_first_choices_and_those_among_the_first_five_are_counted() -> None:
    exact = [0.0, 0.0, 0.9, 0.0, 0.0, 0.1, 0.0]
    second = [0.0, 0.5, 0.4, 0.0, 0.0, 0.1, 0.0]
    sixth = [0.7, 0.6, 0.1, 0.5, 0.4, 0.3, 0.0]
    found = agreement([(exact, exact), (exact, second), (exact, sixth), (exact, exact)], [1, 7])
    assert found == Agreement(inputs=4, top1=0.5, top5=0.75, changed=(1, 2))
    assert str(found) == "the first choice agrees for 50.00% of 4 inputs, and is among the first five for 75.00%"
    assert found.as_json()["changed"] == [1, 2]


def test_of_equal_scores_the_first_counts() -> None:
    found = agreement([([0.5, 0.5, 0.0], [0.5, 0.5, 0.0]), ([0.5, 0.4, 0.1], [0.5, 0.5, 0.0])], [1, 3])
    assert found == Agreement(inputs=2, top1=1.0, top5=None, changed=())
    assert "five" not in str(found)


def test_an_output_that_is_no_vector_makes_no_choice() -> None:
    assert agreement([([1.0] * 4, [1.0] * 4)], [1, 2, 2]) is None

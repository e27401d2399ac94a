"""Random inputs: seeded, of the right type, and over the values that a partition meets."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import DTypeLike

from runtime import ComputeError, Port
from runtime.random_inputs import random_inputs


def one(dtype: DTypeLike, *shape: int) -> np.ndarray:
    (value,) = random_inputs((Port("x", np.dtype(dtype), shape),))
    assert value.dtype == np.dtype(dtype)
    return value


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_floats_are_between_0_and_1(dtype: type) -> None:
    values = one(dtype, 1, 50, 50)
    assert values.shape == (1, 50, 50)
    assert 0 <= values.min() < 0.01
    assert 0.99 < values.max() <= 1


@pytest.mark.parametrize("dtype", [np.int8, np.uint8])
def test_quantised_integers_take_all_values(dtype: type) -> None:
    assert len(np.unique(one(dtype, 100, 100))) == 256


@pytest.mark.parametrize("dtype", [np.int32, np.int64, np.uint32, np.bool_])
def test_other_integers_are_0_or_1(dtype: type) -> None:
    assert set(one(dtype, 100).tolist()) == {0, 1}


def test_open_dimensions_are_1() -> None:
    assert one(np.int16, -1, 3, -1).shape == (1, 3, 1)


def test_inputs_are_the_same_each_time() -> None:
    ports = (Port("a", np.dtype(np.float32), (3, 4)), Port("b", np.dtype(np.int8), (5,)))
    for first, second in zip(random_inputs(ports), random_inputs(ports)):
        assert first.tobytes() == second.tobytes()


def test_strings_are_refused() -> None:
    with pytest.raises(ComputeError, match=r"input x holds \|S1"):
        random_inputs((Port("x", np.dtype("S1"), (1,)),))

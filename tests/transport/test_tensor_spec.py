"""Tensor specs: the dtype table, what does not fit is named, and quantisation is TFLite's arithmetic."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protos.v1.tensor_pb2 import DType, Quantization, TensorSpec
from transport.errors import TensorError
from transport.tensor_spec import check_array, dequantize, describe, numpy_dtype, quantize, shape_fits, wire_dtype


def spec(dtype: DType = DType.INT8, scale: float | None = 0.5, zero_point: int = 0, **fields: Any) -> TensorSpec:
    made = TensorSpec(name="conv/out", dtype=dtype, shape=[1, 3], **fields)
    if scale is not None:
        made.quantization.CopyFrom(Quantization(scale=scale, zero_point=zero_point))
    return made


@pytest.mark.parametrize("dtype", [d for d in DType.values() if d], ids=DType.Name)
def test_dtype_comes_back_when_named_by_numpy(dtype: DType) -> None:
    assert wire_dtype(numpy_dtype(dtype)) == dtype
    assert wire_dtype(numpy_dtype(dtype).newbyteorder(">")) == dtype
    assert numpy_dtype(dtype).name == DType.Name(dtype).lower()


def test_dtype_is_found_whatever_c_type_has_its_size() -> None:
    assert wire_dtype(np.dtype(np.longlong)) == wire_dtype(np.dtype(np.int64)) == DType.INT64


def test_dtype_is_refused_when_its_number_is_unknown() -> None:
    with pytest.raises(TensorError, match="dtype number 0 is not known"):
        numpy_dtype(DType.DTYPE_UNSPECIFIED)


@pytest.mark.parametrize(
    ("spec_shape", "shape", "fits"),
    [
        ([], (), True),
        ([1, 3], (1, 3), True),
        ([1, 3], (3, 1), False),
        ([1, 3], (1, 3, 1), False),
        ([-1, 3], (7, 3), True),
        ([-1, 3], (7, 4), False),
        ([], (1,), False),
    ],
)
def test_shape_fits_when_all_known_sizes_are_equal(spec_shape: list[int], shape: tuple[int, ...], fits: bool) -> None:
    assert shape_fits(spec_shape, shape) is fits


def test_description_prefers_the_authors_name() -> None:
    assert describe(spec()) == "conv/out: int8 [1, 3]"
    assert describe(spec(alias="image")) == "image: int8 [1, 3]"


def test_array_is_accepted_when_dtype_and_shape_are_the_specs() -> None:
    check_array(spec(), np.zeros((1, 3), np.int8))


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (
            np.zeros((1, 3)),
            r"image has dtype float64, expected image: int8 \[1, 3\]\. Convert it: x\.astype\('int8'\)\.",
        ),
        (np.zeros((1, 3), ">i2"), "image has dtype >i2, expected"),
        (np.zeros(3, np.int8), r"shape \[3\], expected image: int8 \[1, 3\]\. Add the batch dimension: x\[None\]\."),
        (np.zeros((3, 1), np.int8), r"shape \[3, 1\], expected image: int8 \[1, 3\]\.$"),
    ],
)
def test_array_is_refused_naming_what_came_and_what_was_expected(array: np.ndarray[Any, Any], message: str) -> None:
    with pytest.raises(TensorError, match=message):
        check_array(spec(alias="image"), array)


def test_quantising_rounds_half_to_even() -> None:
    halves = np.array([-1.25, -0.75, -0.25, 0.25, 0.75, 1.25], np.float32)
    assert quantize(spec(), halves).tolist() == [-2, -2, 0, 0, 2, 2]


@pytest.mark.parametrize(
    ("dtype", "low", "high"), [(DType.INT8, -128, 127), (DType.UINT8, 0, 255), (DType.INT16, -32768, 32767)]
)
def test_quantising_saturates_when_values_lie_outside(dtype: DType, low: int, high: int) -> None:
    values = np.array([-np.inf, -1e30, 1e30, np.inf, 1.7e308, -1.7e308])
    got = quantize(spec(dtype, scale=1e-3), values)
    assert got.dtype == numpy_dtype(dtype)
    assert got.tolist() == [low, low, high, high, high, low]


def test_quantising_is_refused_when_there_are_nans() -> None:
    values = np.array([[0, np.nan, np.nan]], np.float32)
    with pytest.raises(TensorError, match=r"conv/out holds NaN in 2 of 3 places.*Clean the input"):
        quantize(spec(), values)


def test_quantising_is_refused_when_the_spec_has_no_scale() -> None:
    with pytest.raises(TensorError, match=r"not quantised: pass conv/out: int8 \[1, 3\] as it is"):
        quantize(spec(scale=None), np.zeros((1, 3)))


@given(st.integers(-128, 127), st.floats(2**-20, 2**20, width=32), st.lists(st.integers(-128, 127), max_size=20))
def test_integers_come_back_when_dequantised_and_quantised(zero_point: int, scale: float, stored: list[int]) -> None:
    array = np.array(stored, np.int8)
    described = spec(scale=scale, zero_point=zero_point)
    real = dequantize(described, array)
    assert real.dtype == np.float32
    assert np.array_equal(quantize(described, real), array)


@given(st.lists(st.floats(-60, 60, width=32), min_size=1, max_size=20))
def test_real_numbers_come_back_within_half_a_step_when_they_are_in_range(values: list[float]) -> None:
    array = np.array(values, np.float32)
    back = dequantize(spec(scale=0.5), quantize(spec(scale=0.5), array))
    assert np.abs(back - array).max() <= 0.25


def test_dequantising_changes_nothing_when_the_spec_has_no_scale() -> None:
    array = np.array([1, 2], np.int8)
    assert dequantize(spec(scale=None), array) is array

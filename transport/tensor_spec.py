"""Tensors as contracts name them: dtype table, checks of arrays against a spec, quantisation by the spec's scale."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from protos.v1.tensor_pb2 import DType, TensorSpec
from transport.errors import TensorError

Array = np.ndarray[Any, Any]

_NUMPY_BY_DTYPE: dict[DType, np.dtype[Any]] = {
    DType.FLOAT32: np.dtype("<f4"),
    DType.FLOAT16: np.dtype("<f2"),
    DType.FLOAT64: np.dtype("<f8"),
    DType.INT8: np.dtype("i1"),
    DType.INT16: np.dtype("<i2"),
    DType.INT32: np.dtype("<i4"),
    DType.INT64: np.dtype("<i8"),
    DType.UINT8: np.dtype("u1"),
    DType.UINT16: np.dtype("<u2"),
    DType.UINT32: np.dtype("<u4"),
    DType.UINT64: np.dtype("<u8"),
    DType.BOOL: np.dtype("?"),
}
_DTYPE_BY_NUMPY = {numpy_type: dtype for dtype, numpy_type in _NUMPY_BY_DTYPE.items()}


def numpy_dtype(dtype: DType) -> np.dtype[Any]:
    """The numpy type of a `DType`. Raises: TensorError: a number that this version does not know."""
    try:
        return _NUMPY_BY_DTYPE[dtype]
    except KeyError:
        raise TensorError(f"dtype number {dtype} is not known to this version.") from None


def wire_dtype(dtype: np.dtype[Any]) -> DType:
    """The `DType` of a numpy type. Raises: TensorError: a type that cannot travel (strings, objects, complex)."""
    found = _DTYPE_BY_NUMPY.get(dtype)  # on a little-endian machine all that is found is found here
    if found is None:
        found = _DTYPE_BY_NUMPY.get(dtype.newbyteorder("<"))
    if found is None:
        raise TensorError(f"arrays of dtype {dtype} cannot travel; expected one of {_names()}.")
    return found


def shape_fits(spec_shape: Sequence[int], shape: Sequence[int]) -> bool:
    """Whether an array's shape is the spec's, where -1 in the spec takes any size."""
    return len(spec_shape) == len(shape) and all(s in (-1, n) for s, n in zip(spec_shape, shape))


def describe(spec: TensorSpec) -> str:
    """The spec for an error message: `image: float32 [1, 8, 8, 1]`."""
    return f"{spec.alias or spec.name}: {numpy_dtype(spec.dtype).name} {list(spec.shape)}"


def check_array(spec: TensorSpec, array: Array) -> None:
    """Raises TensorError, naming what came and what was expected, unless the array has the spec's dtype and shape."""
    expected = numpy_dtype(spec.dtype)
    if array.dtype != expected:
        raise TensorError(
            f"{spec.alias or spec.name} has dtype {array.dtype}, expected {describe(spec)}. "
            f"Convert it: x.astype({expected.name!r})."
        )
    if not shape_fits(spec.shape, array.shape):
        hint = ""
        if shape_fits(spec.shape, (1, *array.shape)):
            hint = " Add the batch dimension: x[None]."
        raise TensorError(f"{spec.alias or spec.name} has shape {list(array.shape)}, expected {describe(spec)}.{hint}")


def quantize(spec: TensorSpec, array: Array) -> Array:
    """Real values as the spec's integers: round(x / scale) + zero_point, half to even, saturating.

    Raises: TensorError: the spec has no scale, or the array holds NaN.
    """
    if not spec.HasField("quantization"):
        raise TensorError(f"{spec.alias or spec.name} is not quantised: pass {describe(spec)} as it is.")
    if np.isnan(array).any():
        raise TensorError(
            f"{spec.alias or spec.name} holds NaN in {int(np.isnan(array).sum())} of {array.size} places, "
            "which no integer stands for. Clean the input."
        )
    dtype = numpy_dtype(spec.dtype)
    limits = np.iinfo(dtype)
    with np.errstate(over="ignore"):  # what overflows saturates like the rest
        scaled = np.rint(array.astype(np.float64) / spec.quantization.scale) + spec.quantization.zero_point
    quantized: Array = np.clip(scaled, limits.min, limits.max).astype(dtype)
    return quantized


def dequantize(spec: TensorSpec, array: Array) -> Array:
    """The spec's integers as float32: (q - zero_point) * scale; without a scale in the spec, the array as it is."""
    if not spec.HasField("quantization"):
        return array
    q = spec.quantization
    return (array.astype(np.float32) - np.float32(q.zero_point)) * np.float32(q.scale)


def _names() -> str:
    return ", ".join(t.name for t in _DTYPE_BY_NUMPY)

"""Tensors as the protocol writes them: names of datatypes, bytes and lists of numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Union

import numpy as np

from dispatcher_client.gateway.errors import RequestError
from protos.v1.tensor_pb2 import DType
from transport.tensor_spec import Array, numpy_dtype, wire_dtype

_NAMES: dict[DType, str] = {
    DType.BOOL: "BOOL",
    DType.UINT8: "UINT8",
    DType.UINT16: "UINT16",
    DType.UINT32: "UINT32",
    DType.UINT64: "UINT64",
    DType.INT8: "INT8",
    DType.INT16: "INT16",
    DType.INT32: "INT32",
    DType.INT64: "INT64",
    DType.FLOAT16: "FP16",
    DType.FLOAT32: "FP32",
    DType.FLOAT64: "FP64",
}
# As numpy's oldest version that is supported, and TFLite's dimensions.
_MOST_DIMENSIONS, _LARGEST_DIMENSION = 32, 2**31 - 1
_DTYPES = {name: dtype for dtype, name in _NAMES.items()}
# By numpy's kinds: what a list may hold that stands for booleans, integers, real numbers.
_KINDS = {"b": "b", "i": "iu", "u": "iu", "f": "iuf"}


def datatype_name(dtype: DType) -> str:
    """The protocol's name."""
    return _NAMES[dtype]


def datatype_of(array: Array) -> str:
    """The protocol's name of an array's type."""
    return _NAMES[wire_dtype(array.dtype)]


def from_bytes(name: str, datatype: str, shape: Sequence[int], content: Union[bytes, memoryview]) -> Array:
    """A tensor from its elements, little-endian and row-major; a view, but of booleans.

    Raises: RequestError: an unknown datatype, an impossible shape, or another number of bytes than the shape has.
    """
    dtype = _numpy_dtype(name, datatype)
    wanted_bytes = _n_elements(name, shape) * dtype.itemsize
    if len(content) != wanted_bytes:
        raise RequestError(
            f"input {name!r} has {len(content)} bytes, expected {wanted_bytes}: {datatype} {list(shape)} is {dtype.itemsize} "
            "bytes an element, without padding."
        )
    if dtype.kind == "b":  # any other byte than 0 is true; numpy would keep it as it is
        flat: Array = np.frombuffer(content, np.uint8) != 0
    else:
        flat = np.frombuffer(content, dtype)
    return flat.reshape(shape)


def from_numbers(name: str, datatype: str, shape: Sequence[int], numbers: Sequence[Any]) -> Array:
    """A tensor from a list of its elements, flat or nested.

    Raises: RequestError: an unknown datatype, another number of elements than the shape has, or some that it cannot hold.
    """
    dtype = _numpy_dtype(name, datatype)
    n_elements = _n_elements(name, shape)
    try:
        given = np.asarray(numbers)
    except (ValueError, OverflowError) as error:
        raise RequestError(f"the data of input {name!r} is no list of numbers: {error}.") from error
    if given.size != n_elements:
        raise RequestError(
            f"input {name!r} has {given.size} elements, expected {n_elements}: {datatype} {list(shape)}."
        )
    if given.size and given.dtype.kind not in _KINDS[dtype.kind]:
        raise RequestError(f"the data of input {name!r} is {given.dtype.name}, which is no {datatype}.")
    if given.size and dtype.kind in "iu":
        limits = np.iinfo(dtype)
        if int(given.min()) < limits.min or int(given.max()) > limits.max:
            raise RequestError(
                f"input {name!r} has numbers from {given.min()} to {given.max()}; {datatype} holds {limits.min} to {limits.max}."
            )
    with np.errstate(over="ignore"):  # a real number that is too large is infinite
        return given.astype(dtype).reshape(shape)


def _numpy_dtype(name: str, datatype: str) -> np.dtype[Any]:
    if datatype not in _DTYPES:
        raise RequestError(f"input {name!r} has datatype {datatype!r}, expected one of {', '.join(_DTYPES)}.")
    return numpy_dtype(_DTYPES[datatype])


def _n_elements(name: str, shape: Sequence[int]) -> int:
    if len(shape) > _MOST_DIMENSIONS:
        raise RequestError(f"input {name!r} has {len(shape)} dimensions, expected at most {_MOST_DIMENSIONS}.")
    if not all(0 <= size <= _LARGEST_DIMENSION for size in shape):
        raise RequestError(
            f"input {name!r} has shape {list(shape)}, expected dimensions from 0 to {_LARGEST_DIMENSION}."
        )
    return math.prod(shape)

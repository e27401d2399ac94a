"""Seeded inputs for measuring a partition whose real inputs are not at hand."""

from __future__ import annotations

from typing import Any

import numpy as np

from runtime.errors import ComputeError
from runtime.runner import Port

_SEED = 20
# Quantised tensors have these types; wider integers are sizes, axes and indices, where most values would be out of range.
_QUANTISED = frozenset({np.dtype(t) for t in (np.int8, np.uint8, np.int16)})


def random_inputs(ports: tuple[Port, ...]) -> list[np.ndarray[Any, Any]]:
    """One array per input, the same for each call.

    Floats are uniform in [0, 1), small integers uniform over all their values, other integers and booleans 0 or 1. A
    dimension that the file leaves open is 1.
    Raises: ComputeError: an input holds strings.
    """
    rng = np.random.default_rng(_SEED)
    return [_random_input(rng, port) for port in ports]


def _random_input(rng: np.random.Generator, port: Port) -> np.ndarray[Any, Any]:
    shape = [1 if n < 0 else n for n in port.shape]
    if port.dtype.kind == "f":
        return rng.random(shape, np.float32).astype(port.dtype, copy=False)
    if port.dtype in _QUANTISED:
        limits = np.iinfo(port.dtype)
        return rng.integers(limits.min, limits.max, shape, port.dtype, endpoint=True)
    if port.dtype.kind in "iub":
        return rng.integers(0, 2, shape).astype(port.dtype)
    raise ComputeError(f"input {port.name} holds {port.dtype}, for which no random values can be made.")

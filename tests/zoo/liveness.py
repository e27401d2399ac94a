"""Proves that a model's activations carry information, so that comparing their bytes means something."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

try:
    from ai_edge_litert import interpreter as _runtime
except ImportError:  # 32-bit boards have no LiteRT wheel
    from tflite_runtime import interpreter as _runtime

MIN_STD = 1e-3
MIN_LEVELS = 8
# A tensor of a few elements cannot hold MIN_LEVELS different values.
MAX_UNCOUNTED_ELEMENTS = 16


def assert_alive(tflite_bytes: bytes, inputs: Mapping[str, np.ndarray]) -> None:
    """Checks that every activation of a model varies, and answers to the input.

    An activation is an operator's output that depends on a model input: neither a constant nor computed from
    constants alone (the dequantised weights of a float16 model). Three things are asked of it: a float tensor
    has a standard deviation above MIN_STD; an int8 tensor of more than MAX_UNCOUNTED_ELEMENTS elements takes
    at least MIN_LEVELS values; and it changes when the input is halved.

    Args:
        tflite_bytes: the flatbuffer. Only its main subgraph is looked at.
        inputs: float arrays by input name; quantised here where the model takes integers.
    Raises:
        AssertionError: naming every tensor that is dead, and how.
    """
    interpreter = _runtime.Interpreter(
        model_content=tflite_bytes,
        # Delegates and arena reuse hide or overwrite what is between two operators.
        experimental_preserve_all_tensors=True,
        experimental_op_resolver_type=_runtime.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
    )
    interpreter.allocate_tensors()
    full = _activations(interpreter, inputs)
    halved = _activations(interpreter, {name: value / 2 for name, value in inputs.items()})
    if not full:
        raise AssertionError("no operator output depends on a model input")
    faults = [f"  {name}: {fault}" for name, values in full.items() for fault in _faults(values, halved[name])]
    if faults:
        raise AssertionError("\n".join(["these activations are dead:", *faults]))


def _activations(interpreter: Any, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Returns every activation of one run, keyed by tensor index and name (names may repeat)."""
    interpreter.reset_all_variables()
    fed = _feed(interpreter, inputs)
    interpreter.invoke()
    details = {detail["index"]: detail for detail in interpreter.get_tensor_details()}
    return {
        f"{index} {details[index]['name']}": interpreter.get_tensor(index)
        for index in _dependents(interpreter, fed)
        if index in details
    }


def _feed(interpreter: Any, inputs: Mapping[str, np.ndarray]) -> set[int]:
    details = interpreter.get_signature_runner().get_input_details()
    if set(details) != set(inputs):
        raise ValueError(f"inputs are {sorted(inputs)}; the model takes {sorted(details)}")
    for name, detail in details.items():
        interpreter.set_tensor(detail["index"], _quantised(inputs[name], detail))
    return {detail["index"] for detail in details.values()}


def _quantised(values: np.ndarray, detail: Mapping[str, Any]) -> np.ndarray:
    dtype = np.dtype(detail["dtype"])
    if dtype.kind == "f":
        return values.astype(dtype)
    scale, zero_point = detail["quantization"]
    limits = np.iinfo(dtype)
    levels = np.round(values / scale) + zero_point
    return np.asarray(np.clip(levels, limits.min, limits.max), dtype=dtype)


def _dependents(interpreter: Any, fed: set[int]) -> Iterator[int]:
    """Yields, in execution order, the operator outputs that depend on what was fed.

    WHILE reports -1 for a result that nobody reads; the caller drops it.
    """
    reached = set(fed)
    for op in interpreter._get_ops_details():  # no public call lists the operators
        if reached.intersection(op["inputs"]):
            reached.update(op["outputs"])
            yield from op["outputs"]


def _faults(values: np.ndarray, halved: np.ndarray) -> Iterator[str]:
    if values.dtype == np.float32 and values.size > 1 and not values.std() > MIN_STD:
        yield f"standard deviation {values.std():.2g} over {values.size} elements"
    if values.dtype == np.int8 and values.size > MAX_UNCOUNTED_ELEMENTS:
        levels = np.unique(values).size
        if levels < MIN_LEVELS:
            yield f"{levels} different values in {values.size} elements"
    if values.dtype in (np.float32, np.int8) and np.array_equal(values, halved):
        yield "does not change when the input is halved"

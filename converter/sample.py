"""The sample input of a bundle: the user's, or a seeded random one."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from bundle.partition_message import tensor_spec
from converter.errors import CalibrationError
from partitioning import Graph, ModelFormatError, Tensor
from transport.errors import TensorError
from transport.tensor_spec import Array, check_array, quantize

_SEED = 2026


def make_sample(graph: Graph, given: Mapping[str, Array] | None) -> dict[int, Array]:
    """Input tensors by tensor index, of the graph's dtypes and shapes.

    Args:
        given: arrays by signature name; real ones are quantised for a quantised input. Without it: standard normal
            numbers for real inputs, all values of the type for quantised ones, zeros and ones for other integers (they are
            often indices, of which small ones exist).
    Raises: CalibrationError: `given` does not fit the model. ModelFormatError: an input type that cannot travel.
    """
    generator = np.random.default_rng(_SEED)
    sample = {}
    for index in graph.inputs:
        tensor = graph.tensors[index]
        if tensor.dtype is None:
            raise ModelFormatError(
                f"input {tensor.name} has type {tensor.type_name}, which cannot travel between boards."
            )
        array = None if given is None else given.get(graph.aliases.get(index, tensor.name))
        sample[index] = _random(tensor, generator) if array is None else _fit(graph, index, array)
    return sample


def _fit(graph: Graph, index: int, array: Array) -> Array:
    spec = tensor_spec(graph, index)
    try:
        if spec.HasField("quantization") and np.issubdtype(array.dtype, np.floating):
            array = quantize(spec, array)
        check_array(spec, array)
    except TensorError as error:
        raise CalibrationError(f"the sample does not fit the model: {error}") from error
    return array


def _random(tensor: Tensor, generator: np.random.Generator) -> Array:
    shape, dtype = tensor.usual_shape, tensor.dtype
    assert dtype is not None, "checked by the caller"
    if np.issubdtype(dtype, np.floating):
        return generator.standard_normal(shape).astype(dtype)
    if tensor.scale is not None:
        limits = np.iinfo(dtype)
        return generator.integers(limits.min, limits.max, shape, dtype=dtype, endpoint=True)
    return generator.integers(0, 2, shape).astype(dtype)

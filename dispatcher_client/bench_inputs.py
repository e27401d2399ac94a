"""The inputs of a bench: those that were given, one by one, and for comparing answers seeded variations of too few."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

import numpy as np

from dispatcher_client.values import Values, arrays_in_order
from protos.v1.tensor_pb2 import TensorSpec
from transport.tensor_spec import Array, shape_fits

# Of 32 a first choice that changes for one input in ten is missed once in thirty runs. Real inputs are worth more time.
_WITH_VARIATIONS = 32
_MOST_GIVEN = 256
_SEED = 2026


def split_inputs(specs: Sequence[TensorSpec], values: Values) -> list[dict[str, Array]]:
    """The inputs that lie one behind the other along the first dimension of the arrays, by tensor name.

    What is a single input, and what the model does not take, stays as it is.
    Args: specs: of a single input, in the model's order.
    Raises: InputError: a wrong, missing or unknown name.
    """
    arrays = arrays_in_order(specs, values)
    counts = {_count(spec, array) for spec, array in zip(specs, arrays)}
    n_inputs = counts.pop() if len(counts) == 1 else 1
    rows = zip(*(np.split(array, n_inputs) if n_inputs > 1 else [array] for array in arrays))
    return [{spec.name: array for spec, array in zip(specs, row)} for row in rows]


def inputs_to_compare(
    specs: Sequence[TensorSpec], given: Sequence[Mapping[str, Array]], *, is_sample: bool
) -> tuple[list[dict[str, Array]], str]:
    """Distinct inputs, a bounded number of them, and what they are, for people.

    Several that a user gives as they are; a single one, or the bundle's sample, with seeded variations.
    Args: is_sample: whether they are the bundle's.
    """
    first = [dict(values) for values in given[:_MOST_GIVEN]]
    if len(given) > 1 and not is_sample:
        return first, "those given" if len(given) == len(first) else f"the first of the {len(given)} given"
    generator = np.random.default_rng(_SEED)
    n_varied = max(0, _WITH_VARIATIONS - len(first))
    varied = [_vary(specs, values, generator) for values in itertools.islice(itertools.cycle(first), n_varied)]
    source = "the sample" if is_sample else "the one given"
    return [*first, *varied], f"{source} and seeded random variations of it, which say less than several real ones do"


def _count(spec: TensorSpec, array: Array) -> int:
    """How many inputs an array holds; 1 also for what fits the spec in no way."""
    if shape_fits(spec.shape, array.shape) or not spec.shape or spec.shape[0] < 1:
        return 1
    if not shape_fits([-1, *spec.shape[1:]], array.shape) or array.shape[0] % spec.shape[0]:
        return 1
    return max(1, int(array.shape[0]) // spec.shape[0])


def _vary(specs: Sequence[TensorSpec], values: Mapping[str, Array], generator: np.random.Generator) -> dict[str, Array]:
    """Real numbers with noise as wide as their own spread, within their own range; whole numbers in another order."""
    varied = {}
    for spec in specs:
        array = values[spec.name]
        is_float = np.issubdtype(array.dtype, np.floating)
        if not (spec.HasField("quantization") or is_float):
            varied[spec.name] = generator.permutation(array.reshape(-1)).reshape(array.shape)
            continue
        varied[spec.name] = array
        if array.size and np.isfinite(array).all():
            noisy = array + np.std(array, dtype=np.float64) * generator.standard_normal(array.shape)
            within = np.clip(noisy, array.min(), array.max())
            varied[spec.name] = (within if is_float else np.rint(within)).astype(array.dtype)
    return varied

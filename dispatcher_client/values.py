"""Between what an application has (arrays, dicts, real numbers) and what the model takes (its tensors, in order)."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from typing import Any, Union

import numpy as np

from dispatcher_client.errors import InputError, OptionError
from protos.v1.manifest_pb2 import Manifest
from protos.v1.tensor_pb2 import TensorSpec
from transport.errors import TensorError
from transport.tensor_spec import Array, check_array, dequantize, describe, quantize

Values = Union[Array, Mapping[str, Array]]
Answer = Union[Array, dict[str, Array]]


def public_name(spec: TensorSpec) -> str:
    """What an application calls an input or output: the model author's name where there is one."""
    return spec.alias or spec.name


def to_tensors(specs: Sequence[TensorSpec], values: Values) -> tuple[list[Array], bool]:
    """The model's input tensors, in its order, and whether the caller works in real numbers.

    Real arrays for quantised inputs are quantised with the spec's scale. A caller who passes the integers of a quantised
    input works in integers, and gets them back.
    Raises: InputError: a wrong, missing or unknown name, dtype or shape, or NaN for a quantised input.
    """
    given = arrays_in_order(specs, values)
    tensors, is_real = [], True
    try:
        for spec, array in zip(specs, given):
            if spec.HasField("quantization"):
                if np.issubdtype(array.dtype, np.floating):
                    array = quantize(spec, array)
                else:
                    is_real = False
            check_array(spec, array)
            tensors.append(array)
    except TensorError as error:
        raise InputError(str(error)) from error
    return tensors, is_real


def choose_taps(manifest: Manifest, names: Sequence[str]) -> list[TensorSpec]:
    """The bundle's taps of these names, each once. Raises: OptionError: unknown, with the near ones."""
    by_name = {name: spec for spec in manifest.taps for name in (spec.name, public_name(spec))}
    unknown = [name for name in dict.fromkeys(names) if name not in by_name]
    if unknown:
        known = [public_name(spec) for spec in manifest.taps]
        near = difflib.get_close_matches(unknown[0], by_name, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise OptionError(
            f"the bundle has no tap {', '.join(map(repr, unknown))}; its taps: {', '.join(known) or 'none'}.{hint} "
            "Taps are chosen when the model is split: python -m converter split MODEL --taps NAME,..."
        )
    return list({(spec := by_name[name]).name: spec for name in names}.values())


def from_tensors(specs: Sequence[TensorSpec], tensors: Mapping[str, Array], is_real: bool) -> Answer:
    """The answer: one array, or a dict by name of several outputs and taps; real numbers if the caller works in them."""
    answers = {
        public_name(spec): dequantize(spec, tensors[spec.name]) if is_real else tensors[spec.name] for spec in specs
    }
    return answers if len(specs) > 1 else next(iter(answers.values()))


def named_answer(manifest: Manifest, answer: Answer) -> dict[str, Array]:
    """An answer as a dict, also of a model with one output."""
    return answer if isinstance(answer, dict) else {public_name(manifest.outputs[0]): answer}


def arrays_in_order(specs: Sequence[TensorSpec], values: Values) -> list[Array]:
    """An application's arrays as they are, in the model's order. Raises: InputError: a wrong, missing or unknown name."""
    expected = "; ".join(map(describe, specs))
    if isinstance(values, np.ndarray):
        if len(specs) != 1:
            raise InputError(f"the model has {len(specs)} inputs, so pass a dict by name: {expected}.")
        return [values]
    if not isinstance(values, Mapping):
        raise InputError(
            f"pass a numpy array or a dict of them, not {type(values).__name__}. The model takes {expected}."
        )
    names: dict[str, int] = {}
    for index, spec in enumerate(specs):
        names[spec.name] = names[public_name(spec)] = index
    unknown = sorted(set(values) - set(names))
    if unknown:
        near = difflib.get_close_matches(unknown[0], names, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise InputError(f"the model has no input {', '.join(map(repr, unknown))}; it takes {expected}.{hint}")
    found: dict[int, Any] = {names[name]: value for name, value in values.items()}
    missing = [describe(spec) for index, spec in enumerate(specs) if index not in found]
    if missing:
        raise InputError(f"inputs are missing: {'; '.join(missing)}.")
    wrong = sorted(name for name, value in values.items() if not isinstance(value, np.ndarray))
    if wrong:
        raise InputError(f"{', '.join(wrong)} must be numpy arrays; the model takes {expected}.")
    return [found[index] for index in range(len(specs))]


def json_numbers(array: Array) -> Any:
    """Nested lists; null where JSON has no number (NaN, infinities)."""
    numbers = array.astype(object)
    numbers[~np.isfinite(array)] = None
    return numbers.tolist()

"""Requests as clients of Triton make them, and what they must be answered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any

import numpy as np
from tritonclient.utils import np_to_triton_dtype

from bundle import Bundle
from dispatcher_client.values import public_name


def inputs_of(client: ModuleType, bundle: Bundle, values: Mapping[str, np.ndarray], **options: Any) -> list[Any]:
    """Args: client: tritonclient.grpc or one like it. values: by tensor name."""
    inputs = []
    for spec in bundle.manifest.inputs:
        array = values[spec.name]
        tensor = client.InferInput(public_name(spec), list(array.shape), np_to_triton_dtype(array.dtype))
        tensor.set_data_from_numpy(array, **options)
        inputs.append(tensor)
    return inputs


def output_names(bundle: Bundle) -> list[str]:
    return [public_name(spec) for spec in bundle.manifest.outputs]


def answers(result: Any, names: Sequence[str]) -> dict[str, bytes]:
    """A result's bytes by output name."""
    return {name: result.as_numpy(name).tobytes() for name in names}

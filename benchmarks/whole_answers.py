"""Inputs for a chain that streams, and what the whole model answers to them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from bundle import Bundle
from dispatcher_client.values import Answer, Values
from runtime import Runner, load_runtime
from runtime.random_inputs import random_inputs

INPUTS, _SHIFT = 16, 37


def inputs_and_answers(bundle: Bundle) -> tuple[list[Values], list[bytes]]:
    """Different inputs, the same in each process and for each version of a model, and the bits of the whole model's answers."""
    runner = Runner(load_runtime(), bundle.file_path(bundle.manifest.whole))
    first = random_inputs(runner.inputs)
    arrays = [[np.roll(array, _SHIFT * index) for array in first] for index in range(INPUTS)]
    names = [spec.name for spec in bundle.manifest.inputs]
    return [dict(zip(names, one)) for one in arrays], [_joined(runner.run(one)) for one in arrays]


def bits(answer: Answer) -> bytes:
    """An answer's bits, to be compared with the whole model's."""
    return _joined(answer.values() if isinstance(answer, Mapping) else [answer])


def _joined(arrays: Iterable[np.ndarray]) -> bytes:
    return b"".join(np.asarray(array).tobytes() for array in arrays)

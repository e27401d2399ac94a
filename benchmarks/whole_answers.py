"""Inputs for a chain that streams, and what the whole model answers to them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from benchmarks.keras_models import photograph_crops
from bundle import Bundle
from dispatcher_client.values import Answer, Values, to_tensors
from runtime import Runner, load_runtime
from runtime.random_inputs import random_inputs

INPUTS, _SHIFT = 16, 37


class AlikeError(Exception):
    """A model that cannot tell inputs apart is no use for telling whether answers are right."""


def inputs_and_answers(bundle: Bundle) -> tuple[list[Values], list[bytes]]:
    """Different inputs, the same in each process and for each version of a model, and the bits of the whole model's answers.

    Photographs, if the model takes images. Raises: AlikeError: two inputs have the same answer.
    """
    runner = Runner(load_runtime(), bundle.file_path(bundle.manifest.whole))
    specs = bundle.manifest.inputs
    shape = tuple(specs[0].shape)
    if len(specs) == 1 and len(shape) == 4 and shape[0] == 1 and shape[3] == 3:
        images = photograph_crops(INPUTS, (shape[1], shape[2], shape[3]))
        arrays = [to_tensors(specs, image[np.newaxis])[0] for image in images]
    else:
        first = random_inputs(runner.inputs)
        arrays = [[np.roll(array, _SHIFT * index) for array in first] for index in range(INPUTS)]
    answers = [_joined(runner.run(one)) for one in arrays]
    if len(set(answers)) < INPUTS:
        raise AlikeError(f"{INPUTS} inputs have {len(set(answers))} answers: nothing could be told of their order.")
    return [dict(zip((spec.name for spec in specs), one)) for one in arrays], answers


def bits(answer: Answer) -> bytes:
    """An answer's bits, to be compared with the whole model's."""
    return _joined(answer.values() if isinstance(answer, Mapping) else [answer])


def _joined(arrays: Iterable[np.ndarray]) -> bytes:
    return b"".join(np.asarray(array).tobytes() for array in arrays)

"""Converts a frozen SavedModel to TFLite and explains refusals."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import tensorflow as tf

from converter.calibration import Sample
from converter.errors import ModelError
from converter.tensorflow_worker.frozen_model import FrozenModel
from converter.tensorflow_worker.progress import Reporter
from converter.tensorflow_worker.refusal import explain_refusal
from converter.worker_request import CALIBRATED_MODES

_DTYPES = frozenset({"bool", "float32", "int8", "int16", "int32", "int64", "uint8"})


def convert_saved_model(frozen: FrozenModel, quantize: str, samples: Sequence[Sample], reporter: Reporter) -> bytes:
    """Returns the `.tflite` content, built from TFLite's own operators only.

    Raises:
        ModelError: input types or operators that TFLite does not have.
        ConversionFailedError: any other refusal, with its essential lines.
    """
    _check_dtypes(frozen)
    converter = tf.lite.TFLiteConverter.from_saved_model(str(frozen.directory), signature_keys=[frozen.signature])
    _set_mode(converter, quantize, samples, reporter)
    reporter.progress("converting")
    try:
        content: bytes = converter.convert()
    except Exception as error:  # the converter raises RuntimeError, ValueError and its own kinds
        raise explain_refusal(str(error), quantize) from error
    return content


def _check_dtypes(frozen: FrozenModel) -> None:
    odd = [f"{spec.name} {spec.dtype}" for spec in frozen.inputs if spec.dtype not in _DTYPES]
    if odd:
        raise ModelError(
            f"inputs of types that boards cannot take: {', '.join(odd)}; expected one of "
            f"{', '.join(sorted(_DTYPES))}. Move such preprocessing out of the model."
        )


def _set_mode(converter: Any, quantize: str, samples: Sequence[Sample], reporter: Reporter) -> None:
    if quantize == "none":
        return
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if quantize == "float16":
        converter.target_spec.supported_types = [tf.float16]
    if quantize not in CALIBRATED_MODES:
        return
    ops = tf.lite.OpsSet
    is_int8 = quantize == "int8"
    converter.target_spec.supported_ops = [
        ops.TFLITE_BUILTINS_INT8 if is_int8 else ops.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8
    ]
    # Inputs and outputs that are not float keep their type; the converter ignores these for them.
    converter.inference_input_type = tf.int8 if is_int8 else tf.int16
    converter.inference_output_type = converter.inference_input_type
    converter.representative_dataset = _dataset(samples, reporter)


def _dataset(samples: Sequence[Sample], reporter: Reporter) -> Callable[[], Iterator[Sample]]:
    def dataset() -> Iterator[Sample]:
        for index, sample in enumerate(samples, start=1):
            reporter.progress(f"calibrating {index}/{len(samples)}", index / len(samples))
            yield sample
        reporter.progress("quantising")

    return dataset

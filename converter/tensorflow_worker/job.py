"""One conversion from beginning to end."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from converter.calibration import Sample, load_calibration
from converter.layer_names import KerasLayer
from converter.model_source import SourceKind
from converter.tensorflow_worker.conversion import convert_saved_model
from converter.tensorflow_worker.frozen_model import FrozenModel
from converter.tensorflow_worker.progress import Reporter
from converter.tensorflow_worker.signature import output_tensor_names
from converter.worker_request import (
    ANSWER_FILE,
    SAMPLE_FILE,
    TFLITE_FILE,
    WorkerAnswer,
    WorkerRequest,
)


def run_job(request: WorkerRequest, reporter: Reporter) -> None:
    """Writes the `.tflite` file, the answer and the first calibration sample to the work dir.

    Raises:
        ConverterError: of the subclass that says whose fault it is.
    """
    with TemporaryDirectory(dir=request.work_dir, prefix="saved_model-") as scratch:
        frozen = _freeze(request, Path(scratch), reporter)
        samples = _load_samples(request, frozen, reporter)
        content = convert_saved_model(frozen, request.quantize, samples, reporter)
    (request.work_dir / TFLITE_FILE).write_bytes(content)
    if samples:
        arrays: dict[str, Any] = dict(samples[0])
        np.savez(request.work_dir / SAMPLE_FILE, **arrays)
    answer = WorkerAnswer(
        tuple(spec.name for spec in frozen.inputs),
        frozen.outputs,
        _with_output_tensors(frozen, output_tensor_names(content)),
    )
    (request.work_dir / ANSWER_FILE).write_text(answer.to_json(), encoding="utf-8")


def _freeze(request: WorkerRequest, scratch: Path, reporter: Reporter) -> FrozenModel:
    if request.kind is SourceKind.SAVED_MODEL:
        from converter.tensorflow_worker.saved_model_source import freeze_saved_model

        return freeze_saved_model(request, scratch, reporter)
    from converter.tensorflow_worker.keras_source import freeze_keras_file

    return freeze_keras_file(request, scratch, reporter)


def _load_samples(request: WorkerRequest, frozen: FrozenModel, reporter: Reporter) -> list[Sample]:
    if request.calibration is None:
        return []
    reporter.progress("loading calibration data")
    return load_calibration(request.calibration, frozen.inputs, image_input=request.image_input)


def _with_output_tensors(frozen: FrozenModel, tensor_of_output: dict[str, str]) -> tuple[KerasLayer, ...]:
    return tuple(
        replace(layer, output_tensors=tuple(tensor_of_output[name] for name in names))
        for layer, names in zip(frozen.layers, frozen.outputs_of_layers)
    )

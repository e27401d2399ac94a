"""Turns a model of any supported kind into one `.tflite` file."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bundle.image_input import PRESETS
from converter.calibration import check_calibration_path, load_calibration
from converter.errors import CalibrationError, MissingDependencyError, OptionError
from converter.layer_names import KerasLayer
from converter.model_source import ModelSource, SourceKind, recognise_model
from converter.tflite_signature import read_signature
from converter.worker_process import OnProgress, run_worker
from converter.worker_request import (
    CALIBRATED_MODES,
    QUANTIZE_MODES,
    SAMPLE_FILE,
    TFLITE_FILE,
    WorkerRequest,
)
from protos.v1.manifest_pb2 import ImageInput

DEFAULT_TIMEOUT_S = 3600.0  # a ResNet50 takes 20 s on two cores; this only ends what hangs


@dataclass(frozen=True)
class ConvertedModel:
    """A `.tflite` file and what is known about it.

    Attributes:
        tflite: the file; the source itself if that was a `.tflite` file already.
        layers: the Keras layers, inbound layers first; empty for other sources.
        input_names: signature input names in the source's order.
        output_names: signature output names in the source's order.
        calibration_sample: the first calibration sample by input name, shaped and typed as the
            source's inputs (float where a quantised file takes integers); None without data.
        batch: samples that the file takes at once.
        batch_difference: the largest difference between answers to a batch and to its samples one by one, 0 if all bits are
            equal; see `converter.rebatching`.
    """

    tflite: Path
    layers: tuple[KerasLayer, ...]
    input_names: tuple[str, ...]
    output_names: tuple[str, ...]
    calibration_sample: dict[str, npt.NDArray[Any]] | None
    batch: int = 1
    batch_difference: float = 0.0


def convert_to_tflite(
    model: Path,
    *,
    quantize: str = "none",
    calibration: Path | None = None,
    batch: int = 1,
    input_shapes: Mapping[str, Sequence[int]] | None = None,
    image_input: ImageInput = PRESETS["raw"],
    work_dir: Path,
    on_progress: OnProgress,
    timeout_s: float = DEFAULT_TIMEOUT_S,
) -> ConvertedModel:
    """Returns the model as one `.tflite` file with static shapes and TFLite's own operators only.

    TensorFlow runs in a child process, and only for sources that are not TFLite already.
    Everything that can be checked without it is checked first.

    Args:
        model: Keras 2 or 3 file, SavedModel directory, or `.tflite` file.
        quantize: none, float16, dynamic, int8 or int16x8. With int8 and int16x8 the inputs and
            outputs are integers too, except those that are not float in the source.
        calibration: `.npy`, `.npz` or image directory; needed for int8 and int16x8. In the other
            modes it only provides `calibration_sample`.
        batch: samples per call, at least 1; fixed in the file.
        input_shapes: per input its shape without the batch, where the source leaves it open.
        image_input: how calibration images become the input; by default their pixels as they are.
        work_dir: existing directory for the result, TensorFlow's log and intermediate files.
        on_progress: called with what is being done and, where known, the share done in [0, 1].
        timeout_s: after this long the conversion is ended.

    Raises:
        ModelError: missing, damaged, unsupported, or with operators that TFLite lacks.
        CalibrationError: missing, unreadable, or not matching the model's inputs.
        OptionError: options that clash with one another or with the model.
        MissingDependencyError: TensorFlow or tf_keras is needed and not installed.
        ConversionFailedError: TensorFlow failed, crashed or took too long.
    """
    _check_options(quantize, calibration, batch)
    source = recognise_model(model)
    if source.kind is SourceKind.TFLITE:
        _check_tflite_options(quantize, batch, input_shapes)
        return _use_as_it_is(model, calibration, image_input)
    _check_calibration_is_given(quantize, calibration)
    _require_libraries(source)
    request = WorkerRequest(
        model=model,
        kind=source.kind,
        work_dir=work_dir,
        quantize=quantize,
        calibration=calibration,
        batch=batch,
        input_shapes={name: tuple(shape) for name, shape in (input_shapes or {}).items()},
        image_input=image_input,
    )
    answer = run_worker(request, timeout_s=timeout_s, on_progress=on_progress)
    return ConvertedModel(
        tflite=work_dir / TFLITE_FILE,
        layers=answer.layers,
        input_names=answer.inputs,
        output_names=answer.outputs,
        calibration_sample=_read_sample(work_dir) if calibration is not None else None,
    )


def _check_options(quantize: str, calibration: Path | None, batch: int) -> None:
    if quantize not in QUANTIZE_MODES:
        raise OptionError(f"unknown mode {quantize!r}: expected one of {', '.join(QUANTIZE_MODES)}.")
    if batch < 1:
        raise OptionError(f"batch is {batch}, expected 1 or more.")
    if calibration is not None:
        check_calibration_path(calibration)


def _check_calibration_is_given(quantize: str, calibration: Path | None) -> None:
    if calibration is None and quantize in CALIBRATED_MODES:
        raise CalibrationError(
            f"{quantize} needs calibration data: 100 to 500 real samples as a .npy or .npz file or "
            "a directory of images. Give them, or quantise with dynamic, which needs none."
        )


def _check_tflite_options(quantize: str, batch: int, input_shapes: Mapping[str, Sequence[int]] | None) -> None:
    if quantize != "none":
        raise OptionError(
            f"{quantize} asked for, but the model is already TFLite. Quantise it where it was "
            "converted, and leave this option out here."
        )
    if batch != 1 or input_shapes:
        raise OptionError(
            "a batch or input shapes were given, but the model is already TFLite and its shapes "
            "are fixed. Leave them out, or convert the original model."
        )


def _use_as_it_is(model: Path, calibration: Path | None, image_input: ImageInput) -> ConvertedModel:
    inputs, outputs = read_signature(model)
    sample = None
    if calibration is not None:
        sample = load_calibration(calibration, inputs, image_input=image_input)[0]
    return ConvertedModel(model, (), tuple(spec.name for spec in inputs), outputs, sample)


def _require_libraries(source: ModelSource) -> None:
    needed = {
        SourceKind.KERAS2: ("tensorflow", "tf_keras"),
        SourceKind.KERAS3: ("tensorflow", "keras"),
    }
    names = needed.get(source.kind, ("tensorflow",))
    missing = [name for name in names if importlib.util.find_spec(name) is None]
    if missing:
        raise MissingDependencyError(
            f"{source.path} is a {source.kind.value}; converting it needs {', '.join(missing)}, "
            "which is not installed. Install it with: pip install 'boardline[converter]'"
        )


def _read_sample(work_dir: Path) -> dict[str, npt.NDArray[Any]]:
    with np.load(work_dir / SAMPLE_FILE, allow_pickle=False) as arrays:
        return {name: arrays[name] for name in arrays.files}

"""Builds one architecture and converts it to TFLite; the only part of the zoo that runs TensorFlow."""

from __future__ import annotations

import io
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import keras
import numpy as np
import tensorflow as tf

from tests.zoo import _int8_loops
from tests.zoo.architectures import ARCHITECTURES, draw, seed_of

# TensorFlow's calibrator crashes the process on WHILE (tensorflow issues 62281 and 87468, since 2.14).
_WITH_LOOPS = frozenset({"gru"})
_CALIBRATION_SAMPLES = 16
# Apart from the architecture's own seed: calibration, and the sample that tests feed, are data of their own.
_CALIBRATION_SEED_OFFSET = 1_000
_INPUT_SEED_OFFSET = 2_000


def convert(name: str, modes: Sequence[str], out_dir: Path) -> None:
    """Writes `<name>-<mode>.tflite` for every mode, and `<name>-input.npz`."""
    model = ARCHITECTURES[name]()
    sample = draw(model, 1, seed_of(name) + _INPUT_SEED_OFFSET)
    calibration = draw(model, _CALIBRATION_SAMPLES, seed_of(name) + _CALIBRATION_SEED_OFFSET)
    with tempfile.TemporaryDirectory() as saved_model:
        _export(model, saved_model)
        for mode in modes:
            if mode == "int8" and name in _WITH_LOOPS:
                content = _int8_loops.quantised(_converted(saved_model, "float32"), _one_by_one(calibration))
            else:
                content = _converted(saved_model, mode, calibration)
            _write(out_dir / f"{name}-{mode}.tflite", content)
    _write(out_dir / f"{name}-input.npz", _npz(sample))


def _export(model: keras.Model, directory: str) -> None:
    """Saves a model with a batch of one, which keeps shape arithmetic out of the graph."""
    signature = [tf.TensorSpec((1, *tensor.shape[1:]), tensor.dtype, name=tensor.name) for tensor in model.inputs]

    def serve(*arrays: tf.Tensor) -> dict[str, tf.Tensor]:
        outputs = model(arrays[0] if len(arrays) == 1 else list(arrays), training=False)
        listed = outputs if isinstance(outputs, (list, tuple)) else [outputs]
        return dict(zip(model.output_names, listed))

    archive = keras.export.ExportArchive()
    archive.track(model)
    archive.add_endpoint("serve", serve, input_signature=signature)
    archive.write_out(directory, verbose=False)


def _converted(saved_model: str, mode: str, calibration: Mapping[str, np.ndarray] = MappingProxyType({})) -> bytes:
    converter = tf.lite.TFLiteConverter.from_saved_model(saved_model)
    if mode != "float32":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if mode == "float16":
        converter.target_spec.supported_types = [tf.float16]
    if mode == "int8":
        converter.representative_dataset = lambda: _one_by_one(calibration)
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = converter.inference_output_type = tf.int8
    content: bytes = converter.convert()
    return content


def _one_by_one(arrays: Mapping[str, np.ndarray]) -> Iterator[dict[str, np.ndarray]]:
    for index in range(_CALIBRATION_SAMPLES):
        yield {name: values[index : index + 1] for name, values in arrays.items()}


def _npz(arrays: dict[str, np.ndarray]) -> bytes:
    file = io.BytesIO()
    np.savez(file, **arrays)  # type: ignore[arg-type]
    return file.getvalue()


def _write(path: Path, content: bytes) -> None:
    # Whoever sees the file sees all of it: its presence alone tells that it need not be made again.
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    partial.write_bytes(content)
    partial.replace(path)

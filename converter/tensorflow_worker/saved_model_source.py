"""Prepares a SavedModel directory: picks the signature and fixes its shapes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import tensorflow as tf

from converter.calibration import InputSpec
from converter.errors import ModelError
from converter.tensorflow_worker.frozen_model import FrozenModel
from converter.tensorflow_worker.progress import Reporter
from converter.tensorflow_worker.signature import fixed_shapes
from converter.worker_request import WorkerRequest

_DEFAULT_SIGNATURE = "serving_default"
_INIT_SIGNATURE = "__saved_model_init_op"  # how TensorFlow 1 marks its initialiser


def freeze_saved_model(request: WorkerRequest, scratch: Path, reporter: Reporter) -> FrozenModel:
    """Returns the SavedModel as it is if its shapes are static, else a copy with fixed shapes.

    Raises:
        ModelError: not loadable; no signature, or several without `serving_default`.
        OptionError: dimensions stay open or given shapes do not fit.
    """
    reporter.progress("loading the model")
    try:
        model = tf.saved_model.load(str(request.model))
    except Exception as error:  # a damaged protobuf or variable file fails in many ways
        raise ModelError(
            f"TensorFlow cannot load the SavedModel {request.model} ({error}). Export it again."
        ) from error
    key = _pick_signature(request, model)
    function = model.signatures[key]
    open_specs = {
        name: function.structured_input_signature[1][name] for name in sorted(function.structured_input_signature[1])
    }
    shapes = fixed_shapes(request, {n: _shape(spec) for n, spec in open_specs.items()})
    inputs = tuple(InputSpec(n, shapes[n], spec.dtype.name) for n, spec in open_specs.items())
    outputs = tuple(sorted(function.structured_outputs))
    if all(_shape(open_specs[name]) == shape for name, shape in shapes.items()):
        return FrozenModel(request.model, key, inputs, outputs)
    reporter.progress("fixing the model's shapes")
    _save_with_shapes(model, function, inputs, scratch)
    return FrozenModel(scratch, _DEFAULT_SIGNATURE, inputs, outputs)


def _pick_signature(request: WorkerRequest, model: Any) -> str:
    keys: list[str] = sorted(key for key in model.signatures if key != _INIT_SIGNATURE)
    if _DEFAULT_SIGNATURE in keys:
        return _DEFAULT_SIGNATURE
    if len(keys) != 1:
        raise ModelError(
            f"{request.model} has {len(keys)} signatures ({', '.join(keys) or 'none'}): expected "
            f"{_DEFAULT_SIGNATURE} or exactly one. Save it again with that signature."
        )
    return keys[0]


def _shape(spec: Any) -> tuple[int | None, ...] | None:
    return None if spec.shape.rank is None else tuple(spec.shape)


def _save_with_shapes(model: Any, function: Any, inputs: tuple[InputSpec, ...], scratch: Path) -> None:
    names = [spec.name for spec in inputs]

    def serve(*tensors: tf.Tensor) -> dict[str, tf.Tensor]:
        outputs: dict[str, tf.Tensor] = function(**dict(zip(names, tensors)))
        return outputs

    signature = [tf.TensorSpec(spec.shape, spec.dtype, name=spec.name) for spec in inputs]
    module = tf.Module()
    module.tracked = model  # keeps the variables and tables that the function captures
    module.serve = tf.function(serve, input_signature=signature, autograph=False)
    tf.saved_model.save(module, str(scratch), signatures={_DEFAULT_SIGNATURE: module.serve})

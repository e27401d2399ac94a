"""Loads a Keras 2 or Keras 3 file and saves it with one static signature."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import tensorflow as tf

from converter.calibration import InputSpec
from converter.errors import ModelError
from converter.model_source import SourceKind
from converter.tensorflow_worker.frozen_model import FrozenModel
from converter.tensorflow_worker.keras_graph import is_nested_model, list_layers
from converter.tensorflow_worker.layer_trace import LayerTrace
from converter.tensorflow_worker.progress import Reporter
from converter.tensorflow_worker.recurrent import prepare_recurrent_layers
from converter.tensorflow_worker.signature import argument_names, fixed_shapes
from converter.worker_request import WorkerRequest

_SIGNATURE = "serving_default"
# How Keras 3 and Keras 2 name a class or function that they cannot find.
_UNKNOWN_OBJECT = re.compile(
    r"Could not locate (?:class|function) '([^']+)'|Unknown (?:layer|\w+(?: \w+)?): '?([\w>.]+)'?"
)


def freeze_keras_file(request: WorkerRequest, scratch: Path, reporter: Reporter) -> FrozenModel:
    """Saves the model to `scratch` with the batch and all other dimensions fixed.

    Raises:
        ModelError: not loadable, or without declared inputs.
        OptionError: dimensions stay open or given shapes do not fit.
    """
    reporter.progress("loading the model")
    model = _load(request)
    _require_inputs(request, model)
    layers = list_layers(model)
    prepare_recurrent_layers(_submodules(model), request.quantize)
    reporter.progress("tracing the model")
    return _save(request, scratch, model, LayerTrace(layers))


def _load(request: WorkerRequest) -> Any:
    try:
        return _library(request).models.load_model(request.model, compile=False)
    except Exception as error:  # Keras raises whatever the failing layer raised
        unknown = _UNKNOWN_OBJECT.search(str(error))
        if unknown is None:
            cause = str(error).strip().splitlines() or [type(error).__name__]
            raise ModelError(
                f"Keras cannot load {request.model}: {cause[0]} Save it again with the Keras "
                "version that trained it, or export a SavedModel and give that directory."
            ) from error
        name = unknown.group(1) or unknown.group(2)
        raise ModelError(
            f"{request.model} uses {name!r}, which is not part of Keras and whose code is not in "
            "the file. Export a SavedModel where it is defined (model.export(directory) in Keras "
            "3, tf.saved_model.save in Keras 2) and give that directory."
        ) from error


def _library(request: WorkerRequest) -> Any:
    if request.kind is SourceKind.KERAS2:
        import tf_keras

        return tf_keras
    import keras

    return keras


def _require_inputs(request: WorkerRequest, model: Any) -> None:
    if not is_nested_model(model) or not getattr(model, "inputs", None):
        raise ModelError(
            f"{request.model} is a {type(model).__name__} without declared inputs: expected a "
            "Functional or Sequential model that starts with an Input. Add one, or export a "
            "SavedModel and give that directory."
        )


def _submodules(model: Any) -> list[Any]:
    if hasattr(model, "submodules"):  # tf_keras
        return list(model.submodules)
    return list(model._flatten_layers())


def _save(request: WorkerRequest, scratch: Path, model: Any, trace: LayerTrace) -> FrozenModel:
    inputs = _input_specs(request, model)
    output_names = _output_names(model)
    output_of_tensor: dict[str, str] = {}

    def serve(*tensors: tf.Tensor) -> dict[str, tf.Tensor]:
        trace.restart()
        outputs = tf.nest.flatten(_call(model, tensors))
        output_of_tensor.update((t.name, name) for t, name in zip(outputs, output_names))
        return dict(zip(output_names, outputs))

    signature = [tf.TensorSpec(spec.shape, spec.dtype, name=spec.name) for spec in inputs]
    module = tf.Module()
    # Bare variables, not the model: saving that would trace it a second time and add its metadata.
    module.tracked = _variables(model)
    module.serve = tf.function(serve, input_signature=signature, autograph=False)
    tf.saved_model.save(module, str(scratch), signatures={_SIGNATURE: module.serve})
    return FrozenModel(
        directory=scratch,
        signature=_SIGNATURE,
        inputs=inputs,
        outputs=tuple(output_names),
        layers=trace.layers(),
        outputs_of_layers=trace.outputs_of_layers(output_of_tensor),
    )


def _call(model: Any, tensors: tuple[Any, ...]) -> Any:
    if len(tensors) == 1:
        return model(tensors[0], training=False)
    # Keras 3 wants the structure that the model was built with; Keras 2 also takes a flat list.
    structure = getattr(model, "_inputs_struct", None)
    packed = list(tensors) if structure is None else tf.nest.pack_sequence_as(structure, tensors)
    return model(packed, training=False)


def _variables(model: Any) -> list[tf.Variable]:
    # Keras 3 wraps TensorFlow's variables, Keras 2 has them bare.
    return [v if isinstance(v, tf.Variable) else v.value for v in model.variables]


def _input_specs(request: WorkerRequest, model: Any) -> tuple[InputSpec, ...]:
    tensors = model.inputs
    # The input layer's name, which the user chose; Keras 3 numbers unnamed tensors per process.
    names = argument_names([tensor._keras_history[0].name for tensor in tensors])
    shapes = fixed_shapes(request, {n: tuple(t.shape) for n, t in zip(names, tensors)})
    return tuple(InputSpec(name, shapes[name], tf.as_dtype(tensor.dtype).name) for name, tensor in zip(names, tensors))


def _output_names(model: Any) -> list[str]:
    """Returns the keys of a dict of outputs, else the names of the layers that produce them."""
    attribute = "_nested_outputs" if hasattr(model, "_nested_outputs") else "_outputs_struct"
    structure = getattr(model, attribute, None)
    if isinstance(structure, dict) and len(structure) == len(model.outputs):
        return argument_names(sorted(structure))  # Keras flattens dicts in the order of their keys
    return argument_names([tensor._keras_history[0].name for tensor in model.outputs])

"""Full-integer quantisation of a model with WHILE loops, calibrated with LiteRT instead of TensorFlow."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import flatbuffers
import numpy as np
import tensorflow as tf
from ai_edge_litert import interpreter as litert
from ai_edge_litert import schema_py_generated as schema
from tensorflow.lite.python.convert import mlir_quantize

_FILE_IDENTIFIER = b"TFL3"


def quantised(float_model: bytes, calibration: Iterable[Mapping[str, np.ndarray]]) -> bytes:
    """Returns an int8 model with int8 inputs and outputs, whose loop bodies stay float32.

    Only the main subgraph is calibrated, so the quantiser puts DEQUANTIZE and QUANTIZE around each loop.
    """
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(float_model))
    tensors = model.subgraphs[0].tensors
    for index, (low, high) in _ranges(float_model, calibration).items():
        observed = schema.QuantizationParametersT()
        observed.min, observed.max = [low], [high]
        tensors[index].quantization = observed
    builder = flatbuffers.Builder(len(float_model))
    builder.Finish(model.Pack(builder), _FILE_IDENTIFIER)
    content: bytes = mlir_quantize(bytes(builder.Output()), input_data_type=tf.int8, output_data_type=tf.int8)
    return content


def _ranges(float_model: bytes, calibration: Iterable[Mapping[str, np.ndarray]]) -> dict[int, tuple[float, float]]:
    """Returns the smallest and largest value of every float activation of the main subgraph."""
    interpreter = litert.Interpreter(
        model_content=float_model,
        experimental_preserve_all_tensors=True,
        experimental_op_resolver_type=litert.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
    )
    interpreter.allocate_tensors()
    inputs = interpreter.get_signature_runner().get_input_details()
    activations = {detail["index"] for detail in inputs.values()}
    for op in interpreter._get_ops_details():  # no public call lists the operators
        activations.update(op["outputs"])
    # WHILE reports -1 for results that nobody reads; such an index has no details.
    floats = [
        detail["index"]
        for detail in interpreter.get_tensor_details()
        if detail["index"] in activations and detail["dtype"] is np.float32
    ]
    ranges: dict[int, tuple[float, float]] = {}
    for sample in calibration:
        for name, values in sample.items():
            interpreter.set_tensor(inputs[name]["index"], values)
        interpreter.invoke()
        for index in floats:
            seen = interpreter.get_tensor(index)
            low, high = ranges.get(index, (np.inf, -np.inf))
            ranges[index] = (min(low, float(seen.min())), max(high, float(seen.max())))
    return ranges

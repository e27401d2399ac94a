"""Reads the inputs and outputs of a `.tflite` file without a runtime."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

from ai_edge_litert import schema_py_generated as schema

from converter.calibration import InputSpec
from converter.errors import ModelError

_DTYPES = {
    value: name.lower()
    for name, value in vars(schema.TensorType).items()
    if name in ("BOOL", "FLOAT16", "FLOAT32", "INT8", "INT16", "INT32", "INT64", "UINT8")
}


def read_signature(path: Path) -> tuple[tuple[InputSpec, ...], tuple[str, ...]]:
    """Returns the inputs and the output names of the first subgraph, in subgraph order.

    Names are the signature's where the file has one, else the tensors'. A quantised input counts
    as float32, which is what samples for it are before they are quantised.

    Raises:
        ModelError: the file is damaged, or an input has a type that arrays cannot have.
    """
    try:
        return _read(schema.Model.GetRootAs(path.read_bytes(), 0))
    except (struct.error, IndexError, AttributeError, TypeError, UnicodeDecodeError) as error:
        raise ModelError(f"{path} is a damaged TFLite file ({error}). Convert or download it again.") from error
    except KeyError as error:
        raise ModelError(
            f"{path} has an input of TFLite type {error}: expected one of {', '.join(sorted(_DTYPES.values()))}."
        ) from error


def _read(model: Any) -> tuple[tuple[InputSpec, ...], tuple[str, ...]]:
    graph = model.Subgraphs(0)
    names = {index: graph.Tensors(index).Name().decode() for index in _ends(graph)}
    if model.SignatureDefsLength():
        signature = model.SignatureDefs(0)
        ends = [signature.Inputs(i) for i in range(signature.InputsLength())]
        ends += [signature.Outputs(i) for i in range(signature.OutputsLength())]
        names.update((end.TensorIndex(), end.Name().decode()) for end in ends)
    inputs = [graph.Inputs(position) for position in range(graph.InputsLength())]
    outputs = [graph.Outputs(position) for position in range(graph.OutputsLength())]
    specs = tuple(_input_spec(names[index], graph.Tensors(index)) for index in inputs)
    return specs, tuple(names[index] for index in outputs)


def _ends(graph: Any) -> list[int]:
    inputs = [graph.Inputs(position) for position in range(graph.InputsLength())]
    return inputs + [graph.Outputs(position) for position in range(graph.OutputsLength())]


def _input_spec(name: str, tensor: Any) -> InputSpec:
    quantization = tensor.Quantization()
    is_quantised = quantization is not None and quantization.ScaleLength() > 0
    shape = tuple(tensor.Shape(axis) for axis in range(tensor.ShapeLength()))
    return InputSpec(name, shape, "float32" if is_quantised else _DTYPES[tensor.Type()])

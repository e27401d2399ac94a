"""What the converter asks of its TensorFlow worker, and what the worker answers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from google.protobuf import json_format

from converter.layer_names import KerasLayer
from converter.model_source import SourceKind
from protos.v1.manifest_pb2 import ImageInput

QUANTIZE_MODES = ("none", "float16", "dynamic", "int8", "int16x8")
CALIBRATED_MODES = ("int8", "int16x8")

TFLITE_FILE = "model.tflite"
ANSWER_FILE = "layers.json"
SAMPLE_FILE = "sample.npz"
LOG_FILE = "tensorflow.log"


@dataclass(frozen=True)
class WorkerRequest:
    """One conversion.

    Attributes:
        model: the source.
        kind: what the source is; TFLite files need no worker.
        work_dir: where the worker writes; nothing else in it is touched.
        quantize: one of QUANTIZE_MODES.
        calibration: samples to calibrate with, if any.
        batch: the number of samples per call, fixed in the graph.
        input_shapes: per input name its shape without the batch, for dimensions left open.
        image_input: how calibration images become the input.
    """

    model: Path
    kind: SourceKind
    work_dir: Path
    quantize: str = "none"
    calibration: Path | None = None
    batch: int = 1
    input_shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    image_input: ImageInput = field(default_factory=ImageInput)

    def to_json(self) -> str:
        """Returns the request as text for the worker's command line."""
        fields = asdict(self)
        fields.update(model=str(self.model), kind=self.kind.name, work_dir=str(self.work_dir))
        fields.update(calibration=None if self.calibration is None else str(self.calibration))
        fields.update(image_input=json_format.MessageToDict(self.image_input))
        return json.dumps(fields)

    @classmethod
    def from_json(cls, text: str) -> WorkerRequest:
        """Returns the request that `to_json` wrote."""
        fields: dict[str, Any] = json.loads(text)
        calibration = fields["calibration"]
        fields.update(
            model=Path(fields["model"]),
            kind=SourceKind[fields["kind"]],
            work_dir=Path(fields["work_dir"]),
            calibration=None if calibration is None else Path(calibration),
            input_shapes={name: tuple(shape) for name, shape in fields["input_shapes"].items()},
            image_input=json_format.ParseDict(fields["image_input"], ImageInput()),
        )
        return cls(**fields)


@dataclass(frozen=True)
class WorkerAnswer:
    """What a finished conversion says about the model beside the `.tflite` file itself.

    Attributes:
        inputs: signature input names in the source's order.
        outputs: signature output names in the source's order.
        layers: the Keras layers, inbound layers first; empty for a SavedModel.
    """

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    layers: tuple[KerasLayer, ...]

    def to_json(self) -> str:
        """Returns the answer as text for `layers.json`."""
        return json.dumps(asdict(self), indent=1)

    @classmethod
    def from_json(cls, text: str) -> WorkerAnswer:
        """Returns the answer that `to_json` wrote."""
        fields = json.loads(text)
        return cls(
            tuple(fields["inputs"]),
            tuple(fields["outputs"]),
            tuple(_layer_from_json(layer) for layer in fields["layers"]),
        )


def _layer_from_json(layer: dict[str, Any]) -> KerasLayer:
    return KerasLayer(
        name=layer["name"],
        class_name=layer["class_name"],
        inbound=tuple(layer["inbound"]),
        scopes=tuple(layer["scopes"]),
        output_tensors=tuple(layer["output_tensors"]),
    )

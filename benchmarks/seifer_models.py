"""Sizes of real models, operator by operator, as `benchmarks.make_seifer_models` took them from TFLite graphs."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

MODELS = ("ResNet50", "MobileNetV2", "InceptionResNetV2", "EfficientNetB1")
MODELS_DIRECTORY = Path(__file__).parent / "models"


@dataclass(frozen=True)
class ModelSizes:
    """A float32 model of n_ops operators in the order of its file.

    Attributes:
        resident_bytes: (n_ops,) weights that each operator reads.
        working_bytes: (n_ops,) its inputs and outputs.
        output_bytes: (n_ops,) its outputs alone.
        crossing_bytes: (n_ops + 1,) bytes of the tensors alive before each operator.
        crossing_tensors: (n_ops + 1,) how many they are.
        positions: where the model may be cut, its beginning and its end among them.
    """

    resident_bytes: tuple[int, ...]
    working_bytes: tuple[int, ...]
    output_bytes: tuple[int, ...]
    crossing_bytes: tuple[int, ...]
    crossing_tensors: tuple[int, ...]
    positions: tuple[int, ...]

    @classmethod
    def read(cls, name: str) -> ModelSizes:
        """One of MODELS."""
        fields = json.loads((MODELS_DIRECTORY / f"{name}.json").read_text())
        return cls(**{key: tuple(values) for key, values in fields.items()})

    def as_json(self) -> dict[str, Any]:
        """What `read` reads."""
        return asdict(self)

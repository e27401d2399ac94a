"""A model saved with one signature of static shapes, ready for the TFLite converter."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from converter.calibration import InputSpec
from converter.layer_names import KerasLayer


@dataclass(frozen=True)
class FrozenModel:
    """A SavedModel directory and what is known about the signature to convert.

    Attributes:
        directory: the SavedModel.
        signature: the key of the signature to convert.
        inputs: the signature's inputs in the source's order.
        outputs: the signature's output names in the source's order.
        layers: the Keras layers, inbound layers first.
        outputs_of_layers: per layer, the outputs of the model that it produces.
    """

    directory: Path
    signature: str
    inputs: tuple[InputSpec, ...]
    outputs: tuple[str, ...]
    layers: tuple[KerasLayer, ...] = ()
    outputs_of_layers: tuple[tuple[str, ...], ...] = ()

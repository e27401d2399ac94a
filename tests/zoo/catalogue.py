"""The names of the zoo's models and conversion modes, readable without TensorFlow."""

from __future__ import annotations

NAMES: tuple[str, ...] = (
    "chain",
    "residual",
    "dense",
    "inception",
    "squeeze_excite",
    "inverted_residual",
    "unet",
    "yolo_neck",
    "two_inputs",
    "lstm",
    "gru",
    "gru_unrolled",
    "mlp",
    "attention",
)

MODES: tuple[str, ...] = ("float32", "float16", "dynamic", "int8")

# What TensorFlow itself cannot convert, with its reason; everything else exists in every mode.
UNSUPPORTED: dict[tuple[str, str], str] = {}


def supported(name: str) -> tuple[str, ...]:
    """Returns the modes in which a model exists."""
    return tuple(mode for mode in MODES if (name, mode) not in UNSUPPORTED)

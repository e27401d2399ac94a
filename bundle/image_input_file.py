"""A preset's name, or images.yaml: how photographs become a model's input, as users say it."""

from __future__ import annotations

from bundle.errors import BundleError
from bundle.image_input import PRESETS
from protos.v1.manifest_pb2 import ImageInput
from terminal.yaml_file import read_yaml

_EXAMPLE = "fit: crop\ncrop_share: 0.875\ncolours: RGB\nmean: [123.675, 116.28, 103.53]\nstd: [58.395, 57.12, 57.375]"


def read_image_input(text: str) -> ImageInput:
    """What a preset stands for, or a file says; what it leaves open is empty.

    Raises: BundleError: no preset and no such file, or a file against its schema, all places at once.
    """
    if text in PRESETS:
        return PRESETS[text]
    if not text.endswith((".yaml", ".yml")):
        raise BundleError(
            f"{text!r} does not say how images become the input: expected {', '.join(PRESETS)} or a .yaml file."
        )
    content = read_yaml(text, __package__, "image_input.schema.json", BundleError, _EXAMPLE).content
    height, width = content.pop("size", (0, 0))
    per_channel = {
        name: value if isinstance(value, list) else [value]
        for name, value in content.items()
        if name in ("mean", "std")
    }
    return ImageInput(**{**content, "height": int(height), "width": int(width), **per_channel})

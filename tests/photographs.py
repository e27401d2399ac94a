"""Pictures made here, and bundles that say how they become an input."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from bundle import Bundle
from bundle.image_input import PRESETS
from tests.bundles import split_file, zoo_file

LABELS = [f"class {letter}" for letter in "abcdefghij"]


def photograph(seed: int, width: int = 64, height: int = 48) -> Image.Image:
    """Soft patches of colour, another picture for each seed."""
    patches = np.random.default_rng(seed).integers(0, 256, (4, 5, 3), dtype=np.uint8)
    return Image.fromarray(patches).resize((width, height), Image.Resampling.BICUBIC)


def photograph_bundle(out: Path, name: str = "residual", mode: str = "float32", **more: Any) -> Bundle:
    """A zoo model of 24 x 24 pixels in three parts, which takes photographs."""
    options = {"parts": 3, "image_input": PRESETS["tf"], "labels": LABELS, **more}
    return split_file(out, zoo_file(name, mode), **options)

"""Turns photographs into a model's input, for calibration and for the boards alike; needs Pillow."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from bundle.errors import PhotographError
from protos.v1.manifest_pb2 import ImageInput

_MODES = {"RGB": "RGB", "BGR": "RGB", "GREY": "L"}
_Fit = Callable[[Image.Image, "tuple[int, int]", Image.Resampling, float], Image.Image]
_FITS: dict[str, _Fit] = {
    "stretch": lambda image, size, method, share: image.resize(size, method),
    "crop": lambda image, size, method, share: ImageOps.fit(image, size, method, bleed=(1 - share) / 2),
    "pad": lambda image, size, method, share: ImageOps.pad(image, size, method),
}


def list_photographs(directory: Path) -> Iterator[Path]:
    """Files below a directory whose names end as images' do, by path."""
    formats = Image.registered_extensions()
    suffixes = {suffix for suffix, name in formats.items() if name in Image.OPEN}
    for path in sorted(directory.rglob("*")):
        if path.suffix.lower() in suffixes and path.is_file():
            yield path


def read_photograph(path: Path, image_input: ImageInput) -> npt.NDArray[np.float32]:
    """A file as `photograph_values` gives it. Raises: PhotographError: missing, damaged, or no image that can be read."""
    try:
        with Image.open(path) as image:
            return photograph_values(image, image_input)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise PhotographError(f"cannot read the image {path} ({error}). Remove it or replace it.") from error


def photograph_values(
    photograph: Image.Image | npt.NDArray[np.uint8], image_input: ImageInput
) -> npt.NDArray[np.float32]:
    """What the model sees of an image: turned as its EXIF says, fitted to the size, each channel (pixel - mean) / std.

    Args:
        photograph: an image of Pillow's, or (H, W) or (H, W, 3) uint8 in the order RGB.
        image_input: complete, as a manifest has it.
    Returns: (height, width, channels) float32.
    Raises: ValueError: more than 8 bits a channel, or no such array.
    """
    image = Image.fromarray(photograph) if isinstance(photograph, np.ndarray) else photograph
    if image.mode[0] in "IF":
        raise ValueError(f"its pixels are of mode {image.mode}, expected 8 bits a channel")
    upright = ImageOps.exif_transpose(image).convert(_MODES[image_input.colours])
    size = (image_input.width, image_input.height)
    method = Image.Resampling[image_input.resample.upper()]
    fitted = _FITS[image_input.fit](upright, size, method, image_input.crop_share or 1.0)
    pixels = np.asarray(fitted, np.float32).reshape(image_input.height, image_input.width, -1)
    if image_input.colours == "BGR":
        pixels = pixels[..., ::-1]
    values: npt.NDArray[Any] = (pixels - _channels(image_input.mean, 0)) / _channels(image_input.std, 1)
    return np.ascontiguousarray(values, np.float32)


def _channels(numbers: Any, default: float) -> npt.NDArray[np.float32]:
    return np.array(list(numbers) or [default], np.float32)

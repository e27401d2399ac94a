"""Reads a directory of images as rows of an image input."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from converter.errors import CalibrationError, MissingDependencyError

try:
    from PIL import Image
except ImportError:  # splitting a .tflite file must work without it
    Image = None  # type: ignore[assignment]

_MODE_BY_CHANNELS = {1: "L", 3: "RGB"}


def load_images(
    directory: Path, row_shape: tuple[int, ...], limit: int, pixel_range: tuple[float, float]
) -> npt.NDArray[np.float32]:
    """Returns the first `limit` images below `directory`, by path, resized and scaled.

    Files without an image suffix are passed over.

    Args:
        row_shape: (H, W), (H, W, 1) or (H, W, 3).
        pixel_range: the values that pixel values 0 and 255 become.

    Returns:
        (N, *row_shape) float32.

    Raises:
        CalibrationError: the input is no image input; no image found; an image is damaged.
    """
    if Image is None:
        raise MissingDependencyError(
            f"{directory} holds images; reading them needs Pillow, which is not installed. Install it with: "
            "pip install 'boardline[converter]'"
        )
    if len(row_shape) not in (2, 3) or (*row_shape, 1)[2] not in _MODE_BY_CHANNELS:
        raise CalibrationError(
            f"{directory} holds images, but the model's input takes samples of shape {row_shape}: "
            "expected (H, W), (H, W, 1) or (H, W, 3). Give a .npy file of shape (N, ...)."
        )
    paths = list(_image_paths(directory))[:limit]
    if not paths:
        raise CalibrationError(f"{directory} holds no images. Expected files such as .jpg or .png, or give a .npy.")
    low, high = pixel_range
    pixels = np.stack([_read_pixels(path, row_shape) for path in paths])
    return (low + pixels * ((high - low) / 255.0)).astype(np.float32)


def _image_paths(directory: Path) -> Iterator[Path]:
    formats = Image.registered_extensions()
    suffixes = {suffix for suffix, name in formats.items() if name in Image.OPEN}
    for path in sorted(directory.rglob("*")):
        if path.suffix.lower() in suffixes and path.is_file():
            yield path


def _read_pixels(path: Path, row_shape: tuple[int, ...]) -> npt.NDArray[Any]:
    height, width = row_shape[:2]
    mode = _MODE_BY_CHANNELS[(*row_shape, 1)[2]]
    try:
        with Image.open(path) as image:
            resized = image.convert(mode).resize((width, height), Image.Resampling.BILINEAR)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise CalibrationError(f"cannot read the image {path} ({error}). Remove it or replace it.") from error
    return np.asarray(resized, dtype=np.float32).reshape(row_shape)

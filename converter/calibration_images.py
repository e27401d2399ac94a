"""Reads a directory of images as rows of an image input."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bundle.errors import BundleError
from bundle.image_input import complete_image_input
from converter.errors import CalibrationError, MissingDependencyError
from protos.v1.manifest_pb2 import ImageInput


def load_images(
    directory: Path, row_shape: tuple[int, ...], limit: int, image_input: ImageInput
) -> npt.NDArray[np.float32]:
    """Returns the first `limit` images below `directory`, by path, as boards will get them.

    Files without an image suffix are passed over.

    Args:
        row_shape: (H, W), (H, W, 1) or (H, W, 3).
        image_input: how images become the input; what is empty is taken from the shape.

    Returns:
        (N, *row_shape) float32.

    Raises:
        CalibrationError: the input is no image input; no image found; an image is damaged.
    """
    try:  # splitting a .tflite file must work without it
        from bundle.photographs import list_photographs, read_photograph
    except ImportError as error:
        raise MissingDependencyError(
            f"{directory} holds images; reading them needs Pillow, which is not installed. Install it with: "
            "pip install 'boardline[converter]'"
        ) from error
    try:
        complete = complete_image_input(image_input, (1, *row_shape))
    except BundleError as error:
        raise CalibrationError(f"{directory} holds images. {error} Or give a .npy file of shape (N, ...).") from error
    paths = list(islice(list_photographs(directory), limit))
    if not paths:
        raise CalibrationError(f"{directory} holds no images. Expected files such as .jpg or .png, or give a .npy.")
    try:
        return np.stack([read_photograph(path, complete).reshape(row_shape) for path in paths])
    except BundleError as error:
        raise CalibrationError(str(error)) from error

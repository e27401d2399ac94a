"""`python -m tests.docs.prepare DIR`: the files that pages begin with. Runs TensorFlow, once for all pages."""

from __future__ import annotations

import sys
from pathlib import Path

import keras
import numpy as np
from PIL import Image

from examples.digits_demo import train

_IMAGES = 24


def main(directory: Path) -> None:
    """Writes the digits' network as digits.keras and model.h5, its data, images/ and x.npy."""
    train.main(directory)
    keras.models.load_model(directory / "digits.keras").save(directory / "model.h5")
    calibration = np.load(directory / "calibration.npy")
    np.save(directory / "x.npy", calibration[:1])
    (directory / "images").mkdir()
    for number, picture in enumerate(calibration[:_IMAGES, :, :, 0]):
        Image.fromarray((picture * 255).astype(np.uint8)).save(directory / "images" / f"{number}.png")


if __name__ == "__main__":
    main(Path(sys.argv[1]))

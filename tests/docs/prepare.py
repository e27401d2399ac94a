"""`python -m tests.docs.prepare DIR`: the files that pages begin with. Runs TensorFlow, once for all pages."""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import keras
import numpy as np
from PIL import Image

from examples.digits_demo import train

_IMAGES = 24
_SEEN = (64, 64)  # a photograph's width and height in pixels


def main(directory: Path) -> None:
    """Writes the digits' network as digits.keras and model.h5, and labels.txt, x.npy, images/, photos/, photo.jpg, door.avi."""
    # A smaller one than the demo's: planning measures each of its pieces on each board, and the pages plan a dozen times.
    train.main(directory, train.build(widths=(32,), blocks="a"))
    keras.models.load_model(directory / "digits.keras").save(directory / "model.h5")
    calibration = np.load(directory / "calibration.npy")
    np.save(directory / "x.npy", calibration[:1])
    (directory / "labels.txt").write_text("zero one two three four five six seven eight nine".replace(" ", "\n"))
    pictures = [Image.fromarray((picture * 255).astype(np.uint8)) for picture in calibration[:_IMAGES, :, :, 0]]
    for place in ("images", "photos"):
        (directory / place).mkdir()
        for number, picture in enumerate(pictures):
            picture.save(directory / place / f"{number}.png")
    seen = [picture.resize(_SEEN).convert("RGB") for picture in pictures]
    seen[0].save(directory / "photo.jpg")
    video = cv2.VideoWriter(str(directory / "door.avi"), cv2.VideoWriter.fourcc(*"MJPG"), 10, _SEEN)
    for frame in seen:
        video.write(np.asarray(frame))
    video.release()


if __name__ == "__main__":
    main(Path(sys.argv[1]))

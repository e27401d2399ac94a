"""Trains a residual network on digits enlarged to 32x32, for `benchmarks.codecs`: `python -m benchmarks.codecs_training DIR`."""

from __future__ import annotations

import sys
from pathlib import Path

import keras
import numpy as np
from keras import layers
from sklearn.datasets import load_digits, load_sample_images
from sklearn.model_selection import train_test_split

_SEED = 11
_EPOCHS = 6
_SIDE = 32
_CALIBRATION = 200
# Steps between crops of a photograph, and pixels that become one.
_CROP_STEP = 70
_SHRINK = 2


def build() -> keras.Model:
    """(32, 32, 1) pixels in, ten probabilities out; three stages of two residual blocks, 16, 32 and 64 channels wide."""
    x = image = keras.Input((_SIDE, _SIDE, 1), name="image")
    x = layers.Conv2D(16, 3, padding="same", activation="relu", name="stem")(x)
    for stage, width in enumerate((16, 32, 64), start=1):
        for block in ("a", "b"):
            x = _block(x, width, stride=2 if stage > 1 and block == "a" else 1, name=f"stage{stage}{block}")
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    return keras.Model(image, layers.Dense(10, activation="softmax", name="digit")(x), name="digits32")


def photographs() -> np.ndarray:
    """(N, 32, 32, 1) float32 in 0..1: grey crops of scikit-learn's two photographs, at half their size."""
    crops = []
    for photo in load_sample_images().images:
        grey = photo.mean(axis=2) / 255
        side = _SIDE * _SHRINK
        for top in range(0, grey.shape[0] - side, _CROP_STEP):
            for left in range(0, grey.shape[1] - side, _CROP_STEP):
                crop = grey[top : top + side, left : left + side]
                crops.append(crop.reshape(_SIDE, _SHRINK, _SIDE, _SHRINK).mean(axis=(1, 3)))
    return np.stack(crops).astype(np.float32)[..., None]


def main(directory: Path) -> None:
    """Writes digits32.keras, calibration.npy (N, 32, 32, 1), and images.npz: digits, labels, photographs."""
    keras.utils.set_random_seed(_SEED)
    digits = load_digits()
    small = (digits.images / 16.0).astype(np.float32)[..., None]
    images = np.asarray(keras.ops.image.resize(small, (_SIDE, _SIDE)))
    train_x, test_x, train_y, test_y = train_test_split(
        images, digits.target, test_size=0.25, random_state=_SEED, stratify=digits.target
    )
    model = build()
    model.compile(keras.optimizers.Adam(2e-3), "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(train_x, train_y, batch_size=64, epochs=_EPOCHS, verbose=0)
    model.save(directory / "digits32.keras")
    np.save(directory / "calibration.npy", train_x[:_CALIBRATION])
    np.savez(directory / "images.npz", digits=test_x, labels=test_y, photographs=photographs())


def _block(x: keras.KerasTensor, width: int, stride: int, name: str) -> keras.KerasTensor:
    shortcut = x
    if stride != 1 or x.shape[-1] != width:
        shortcut = layers.Conv2D(width, 1, strides=stride, name=f"{name}_shortcut")(x)
    y = layers.Conv2D(width, 3, strides=stride, padding="same", use_bias=False, name=f"{name}_conv1")(x)
    y = layers.BatchNormalization(momentum=0.9, name=f"{name}_norm1")(y)
    y = layers.ReLU(name=f"{name}_relu1")(y)
    y = layers.Conv2D(width, 3, padding="same", use_bias=False, name=f"{name}_conv2")(y)
    y = layers.BatchNormalization(momentum=0.9, name=f"{name}_norm2")(y)
    return layers.ReLU(name=f"{name}_out")(layers.Add(name=f"{name}_add")([y, shortcut]))


if __name__ == "__main__":
    main(Path(sys.argv[1]))

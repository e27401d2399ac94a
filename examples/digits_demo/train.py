"""Trains a small residual network on scikit-learn's handwritten digits: `python -m examples.digits_demo.train DIR`."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np
from keras import layers
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

_SEED = 7
_EPOCHS = 8
# The default of 0.99 needs thousands of steps to settle; a run here has 170.
_NORM_MOMENTUM = 0.9


def build(widths: Sequence[int] = (32, 64), blocks: str = "ab") -> keras.Model:
    """An untrained network: 8x8 pixels in, ten probabilities out; a stage of residual blocks for each width in channels."""
    x = image = keras.Input((8, 8, 1), name="image")
    x = layers.Resizing(16, 16, name="enlarge")(x)
    x = layers.Conv2D(32, 3, padding="same", activation="relu", name="stem")(x)
    for stage, width in enumerate(widths, start=1):
        for number, block in enumerate(blocks):
            x = _residual(x, width, stride=2 if stage > 1 and number == 0 else 1, name=f"stage{stage}{block}")
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    return keras.Model(image, layers.Dense(10, activation="softmax", name="digit")(x), name="digits")


def _residual(x: keras.KerasTensor, width: int, stride: int, name: str) -> keras.KerasTensor:
    shortcut = x
    if stride != 1 or x.shape[-1] != width:
        shortcut = layers.Conv2D(width, 1, strides=stride, name=f"{name}_shortcut")(x)
    y = layers.Conv2D(width, 3, strides=stride, padding="same", use_bias=False, name=f"{name}_conv1")(x)
    y = layers.BatchNormalization(momentum=_NORM_MOMENTUM, name=f"{name}_norm1")(y)
    y = layers.ReLU(name=f"{name}_relu1")(y)
    y = layers.Conv2D(width, 3, padding="same", use_bias=False, name=f"{name}_conv2")(y)
    y = layers.BatchNormalization(momentum=_NORM_MOMENTUM, name=f"{name}_norm2")(y)
    return layers.ReLU(name=f"{name}_out")(layers.Add(name=f"{name}_add")([y, shortcut]))


def main(directory: Path, model: keras.Model | None = None) -> None:
    """Trains the model, or the demo's network.

    Writes digits.keras, calibration.npy (N, 8, 8, 1), held_out.npz (images, labels) and training.json.
    """
    keras.utils.set_random_seed(_SEED)
    digits = load_digits()
    images = (digits.images / 16.0).astype(np.float32)[..., None]  # (1797, 8, 8, 1) in 0..1
    train_x, test_x, train_y, test_y = train_test_split(
        images, digits.target, test_size=0.25, random_state=_SEED, stratify=digits.target
    )
    model = model or build()
    model.compile(keras.optimizers.Adam(2e-3), "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(train_x, train_y, batch_size=64, epochs=_EPOCHS, verbose=0)
    _, accuracy = model.evaluate(test_x, test_y, verbose=0)
    model.save(directory / "digits.keras")
    np.save(directory / "calibration.npy", train_x[:200])
    np.savez(directory / "held_out.npz", images=test_x, labels=test_y)
    (directory / "training.json").write_text(json.dumps({"float_accuracy": accuracy}))


if __name__ == "__main__":
    main(Path(sys.argv[1]))

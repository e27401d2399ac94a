"""Writes the Keras 2 models that the converter tests use: `python keras2_models.py DIRECTORY`.

Run it with TF_USE_LEGACY_KERAS=1.
"""

from __future__ import annotations

import sys
from pathlib import Path

import tensorflow as tf
import tf_keras
from tf_keras import layers


def image_model() -> tf_keras.Model:
    x = image = tf_keras.Input((8, 8, 3), name="image")
    for _ in range(2):
        x = layers.Conv2D(4, 3, padding="same", use_bias=False)(x)
        x = layers.BatchNormalization()(x)
        x = layers.ReLU()(x)
    inner = tf_keras.Sequential(
        [layers.InputLayer((8, 8, 4)), layers.DepthwiseConv2D(3), layers.Flatten()], name="inner"
    )
    x = layers.Dropout(0.1)(inner(x) * 2.0)
    return tf_keras.Model(image, [layers.Dense(3, name="first")(x), layers.Dense(2, name="a")(x)])


def recurrent() -> tf_keras.Model:
    steps = tf_keras.Input((6, 4), name="steps")
    x = layers.LSTM(8, return_sequences=True, name="lstm")(steps)
    x = layers.GRU(8, name="gru")(x)
    return tf_keras.Model(steps, layers.Dense(2, name="answer")(x))


class Doubling(layers.Layer):
    """A layer that no other process knows."""

    def call(self, x: tf.Tensor) -> tf.Tensor:
        return 2 * x


def custom() -> tf_keras.Model:
    x = tf_keras.Input((4,))
    return tf_keras.Model(x, Doubling(name="doubling")(x))


def main(directory: Path) -> None:
    for build in (image_model, recurrent, custom):
        tf_keras.backend.clear_session()
        build().save(directory / f"keras2_{build.__name__}.h5")
    image_model().save(directory / "keras2_image_model.keras")
    image_model().save(directory / "keras2_saved_model")


if __name__ == "__main__":
    main(Path(sys.argv[1]))

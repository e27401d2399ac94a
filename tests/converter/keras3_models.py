"""Writes the Keras 3 models that the converter tests use: `python keras3_models.py DIRECTORY`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import layers


def default_names() -> keras.Model:
    """Layers named conv2d, conv2d_1, ..., which TensorFlow's scope suffixes imitate."""
    x = image = keras.Input((16, 16, 3))
    for _ in range(4):
        x = layers.Conv2D(4, 3, padding="same")(x)
        x = layers.BatchNormalization()(x)
        x = layers.ReLU()(x)
        x = layers.Dropout(0.2)(x)
    x = layers.Flatten()(x)
    x = layers.Dense(6, activation="relu")(x)
    return keras.Model(image, layers.Dense(3, activation="softmax")(x))


def several_ends(extra_name: str = "an extra") -> keras.Model:
    """Two inputs, a dict of outputs, a shared layer, and a nested model called twice."""
    image = keras.Input((8, 8, 3), name="Image")
    extra = keras.Input((5,), name=extra_name)
    x = layers.Conv2D(4, 3, activation="relu")(image)
    shared = layers.Dense(5, name="shared")
    y = shared(layers.Flatten()(x))
    inner = keras.Sequential([keras.Input((5,)), layers.Dense(7, "relu"), layers.Dense(5)], name="inner")
    total = layers.Add(name="total")([inner(y), inner(extra)]) + extra
    heads = {
        "zebra": layers.Dense(3, name="first_head")(total),
        "apple": layers.Dense(2, activation="softmax", name="second_head")(total),
    }
    return keras.Model([image, extra], heads)


def folded_output() -> keras.Model:
    """A convolution whose batch normalisation and activation end the model, and a list output."""
    image = keras.Input((8, 8, 3), name="image")
    x = layers.Conv2D(4, 3, name="first")(image)
    y = layers.BatchNormalization(name="norm")(layers.Conv2D(4, 3, name="last")(x))
    return keras.Model(image, [layers.ReLU(name="end")(y), layers.Dropout(0.1, name="drop")(x)])


def recurrent() -> keras.Model:
    tokens = keras.Input((6,), dtype="int32", name="tokens")
    x = layers.Embedding(20, 8, name="embedding")(tokens)
    x = layers.LSTM(8, return_sequences=True, name="lstm")(x)
    x = layers.Bidirectional(layers.GRU(4), name="both_ways")(x)
    return keras.Model(tokens, layers.Dense(2, name="answer")(x))


def recurrent_on_steps() -> keras.Model:
    steps = keras.Input((6, 4), name="steps")
    return keras.Model(steps, layers.LSTM(8, name="lstm")(steps))


def any_size() -> keras.Model:
    image = keras.Input((None, None, 3), name="image")
    x = layers.Conv2D(4, 3, name="conv")(image)
    return keras.Model(image, layers.GlobalAveragePooling2D(name="pool")(x))


@keras.saving.register_keras_serializable(package="tests")
class Doubling(layers.Layer):
    """A layer that no other process knows."""

    def call(self, x: tf.Tensor) -> tf.Tensor:
        return 2 * x


def custom() -> keras.Model:
    x = keras.Input((4,))
    return keras.Model(x, Doubling(name="doubling")(x))


def with_lambda() -> keras.Model:
    x = keras.Input((4,))
    return keras.Model(x, layers.Lambda(lambda y: 2 * y, name="my_lambda")(x))


def liven(model: keras.Model) -> keras.Model:
    """Sets batch normalisation statistics from data, so that activations do not die out."""
    norms = [x for x in model.layers if type(x).__name__ == "BatchNormalization"]
    for norm in norms:
        norm.momentum = 0.0
    if norms:
        shape = (4, *model.input_shape[1:])
        model(np.random.default_rng(0).normal(size=shape).astype("float32"), training=True)
    return model


def save_values(model: keras.Model, path: Path) -> None:
    """Saves an input under the key `input` and what every layer makes of it under its name."""
    data = np.random.default_rng(1).normal(size=(1, *model.input_shape[1:])).astype("float32")
    inner = [layer for layer in model.layers if type(layer).__name__ != "InputLayer"]
    values = keras.Model(model.inputs, [layer.output for layer in inner])(data, training=False)
    arrays: dict[str, Any] = {layer.name: np.asarray(value) for layer, value in zip(inner, values)}
    np.savez(path, input=data, **arrays)


class Inverse(tf.Module):
    """Needs an operator that TFLite does not have."""

    @tf.function(input_signature=[tf.TensorSpec((None, 3, 3), name="matrix")])
    def serve(self, matrix: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"inverse": tf.linalg.inv(matrix)}


class AnyRank(tf.Module):
    """Takes tensors of any rank."""

    @tf.function(input_signature=[tf.TensorSpec(None, name="x")])
    def serve(self, x: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"doubled": 2 * x}


class Text(tf.Module):
    """Takes strings, which no board can."""

    @tf.function(input_signature=[tf.TensorSpec((1,), tf.string, name="words")])
    def serve(self, words: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"length": tf.strings.length(words)}


class Scale(tf.Module):
    """Two signatures, static shapes, two outputs."""

    def __init__(self) -> None:
        super().__init__()
        self.factor = tf.Variable([[2.0, 3.0]])

    @tf.function(input_signature=[tf.TensorSpec((1, 2), name="x")])
    def scale(self, x: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"scaled": x * self.factor, "shifted": x + self.factor}


def main(directory: Path) -> None:
    keras.utils.set_random_seed(0)
    for build in (default_names, several_ends, folded_output, recurrent, any_size, custom):
        keras.backend.clear_session()
        model = liven(build())
        model.save(directory / f"{build.__name__}.keras")
        if build in (default_names, folded_output):
            save_values(model, directory / f"{build.__name__}.values.npz")
    default_names().save(directory / "default_names.h5")
    default_names().save_weights(directory / "only.weights.h5")
    with_lambda().save(directory / "with_lambda.keras")
    with_lambda().save(directory / "with_lambda.h5")
    size = {"weights": None, "classes": 5, "input_shape": (32, 32, 3)}
    resnet50 = liven(keras.applications.ResNet50(**size))
    resnet50.save(directory / "resnet50.h5")
    save_values(resnet50, directory / "resnet50.values.npz")
    mobilenetv2 = liven(keras.applications.MobileNetV2(alpha=0.35, **size))
    mobilenetv2.save(directory / "mobilenetv2.keras")
    save_values(mobilenetv2, directory / "mobilenetv2.values.npz")
    several_ends("an_extra").export(directory / "exported", verbose=False)
    keras.Sequential([layers.Dense(3)]).save(directory / "unbuilt.keras")
    loop = recurrent_on_steps()
    loop.export(directory / "open_loop", verbose=False)
    archive = keras.export.ExportArchive()
    archive.track(loop)
    archive.add_endpoint("serve", loop, [tf.TensorSpec((1, 6, 4), name="steps")])
    archive.write_out(directory / "loop", verbose=False)
    for module in (Inverse(), AnyRank(), Text()):
        tf.saved_model.save(module, str(directory / type(module).__name__.lower()))
    scale = Scale()
    tf.saved_model.save(scale, str(directory / "one_signature"), signatures={"go": scale.scale})
    both = {"go": scale.scale, "stay": scale.scale}
    tf.saved_model.save(scale, str(directory / "two_signatures"), signatures=both)


if __name__ == "__main__":
    main(Path(sys.argv[1]))

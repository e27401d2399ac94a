"""Small Keras models of many different structures, with seeded weights and live activations."""

from __future__ import annotations

import functools
import zlib
from typing import Any, Callable

import keras
import numpy as np
from keras import layers

from tests.zoo import _recurrent, samples

Builder = Callable[[], keras.Model]

ARCHITECTURES: dict[str, Builder] = {}

# Enough samples that batch statistics describe the distribution, few enough to build in a second.
_SETTLING_SAMPLES = 48
_CLASSES = 10


def seed_of(name: str) -> int:
    """Returns the seed of an architecture's weights and samples; `hash` would differ between processes."""
    return zlib.crc32(name.encode()) % 2**31


def draw(model: keras.Model, count: int, seed: int) -> dict[str, np.ndarray]:
    """Returns count samples for every input of a model, by input name."""
    return {
        tensor.name: samples.batch(tuple(tensor.shape[1:]), count, seed + index)
        for index, tensor in enumerate(model.inputs)
    }


def _architecture(build: Builder) -> Builder:
    name = build.__name__

    @functools.wraps(build)
    def seeded() -> keras.Model:
        keras.backend.clear_session()  # layer names then do not depend on what was built before
        keras.utils.set_random_seed(seed_of(name))
        model = build()
        _settle(model, draw(model, _SETTLING_SAMPLES, seed_of(name)))
        return model

    ARCHITECTURES[name] = seeded
    return seeded


def _settle(model: keras.Model, data: dict[str, np.ndarray]) -> None:
    """Sets every batch normalisation's statistics from data, so that no activation decays or explodes.

    In training mode each layer normalises by its batch's own statistics and, with momentum 0, keeps exactly
    those; one pass through the model therefore settles all of them, in order.
    """
    for layer in model.layers:
        if isinstance(layer, layers.BatchNormalization):
            layer.momentum = 0.0
    model([data[tensor.name] for tensor in model.inputs], training=True)


# Dynamic-range quantisation leaves weights of fewer than 1024 elements alone; every model has some larger ones.

# -- building blocks ---------------------------------------------------------------------------------------------


def _norm(x: Any) -> Any:
    # Scales and shifts of a trained network are not 1 and 0; a cut that lost them would go unseen if they were.
    return layers.BatchNormalization(
        gamma_initializer=keras.initializers.RandomUniform(0.8, 1.2),
        beta_initializer=keras.initializers.RandomNormal(stddev=0.2),
    )(x)


def _conv(x: Any, filters: int, size: int | tuple[int, int], stride: int = 1, act: str | None = "relu") -> Any:
    x = layers.Conv2D(filters, size, strides=stride, padding="same", use_bias=False)(x)
    return _activated(_norm(x), act)


def _depthwise(x: Any, size: int, stride: int = 1, act: str | None = "relu") -> Any:
    x = layers.DepthwiseConv2D(size, strides=stride, padding="same", use_bias=False)(x)
    return _activated(_norm(x), act)


def _activated(x: Any, act: str | None) -> Any:
    return x if act is None else layers.Activation(act)(x)


def _dense(x: Any, units: int, act: str | None = None, name: str | None = None) -> Any:
    return layers.Dense(units, activation=act, bias_initializer=_bias(), name=name)(x)


def _bias() -> keras.Initializer:
    return keras.initializers.RandomNormal(stddev=0.3)


def _classes(x: Any) -> Any:
    return _dense(x, _CLASSES, "softmax", name="probabilities")


# -- convolutional classifiers -----------------------------------------------------------------------------------


@_architecture
def chain() -> keras.Model:
    """VGG: one path, no branch."""
    x = image = keras.Input((24, 24, 3), name="image")
    for filters, depth in ((12, 2), (16, 3), (24, 3)):
        for _ in range(depth):
            x = _conv(x, filters, 3)
        x = layers.MaxPooling2D()(x)
    x = _dense(layers.Flatten()(x), 32, "relu")
    return keras.Model(image, _classes(x))


@_architecture
def residual() -> keras.Model:
    """ResNet v1: bottlenecks, with a projection where the shape changes."""
    x = image = keras.Input((24, 24, 3), name="image")
    x = layers.ZeroPadding2D(2)(x)
    x = layers.Conv2D(16, 5, strides=2, use_bias=False)(x)
    x = layers.MaxPooling2D(3, strides=1, padding="same")(_activated(_norm(x), "relu"))
    for filters, stride in ((8, 1), (12, 2), (16, 2)):
        x = _bottleneck(x, filters, stride, project=True)
        x = _bottleneck(x, filters, 1, project=False)
    return keras.Model(image, _classes(layers.GlobalAveragePooling2D()(x)))


def _bottleneck(x: Any, filters: int, stride: int, project: bool) -> Any:
    shortcut = _conv(x, 4 * filters, 1, stride, act=None) if project else x
    x = _conv(_conv(x, filters, 1, stride), filters, 3)
    x = _conv(x, 4 * filters, 1, act=None)
    return layers.ReLU()(layers.Add()([shortcut, x]))


@_architecture
def dense() -> keras.Model:
    """DenseNet: every layer reads all earlier ones of its block."""
    x = image = keras.Input((16, 16, 3), name="image")
    x = _conv(x, 12, 3)
    for block in range(2):
        if block:
            x = layers.Conv2D(16, 1, use_bias=False)(_activated(_norm(x), "relu"))
            x = layers.AveragePooling2D(2)(x)
        for _ in range(4):
            new = _conv(_activated(_norm(x), "relu"), 16, 1)
            new = layers.Conv2D(8, 3, padding="same", use_bias=False)(new)
            x = layers.Concatenate()([x, new])
    x = layers.GlobalAveragePooling2D()(_activated(_norm(x), "relu"))
    return keras.Model(image, _classes(x))


@_architecture
def inception() -> keras.Model:
    """Inception: parallel branches of different depth, some of which pool."""
    x = image = keras.Input((24, 24, 3), name="image")
    x = _conv(_conv(x, 12, 3, 2), 16, 3)
    x = _mixed(_mixed(x))
    x = layers.Concatenate()(
        [
            _conv(x, 16, 3, 2),
            _conv(_conv(x, 8, 1), 16, 3, 2),
            layers.MaxPooling2D(3, strides=2, padding="same")(x),
        ]
    )
    x = _mixed(x)
    return keras.Model(image, _classes(layers.GlobalAveragePooling2D()(x)))


def _mixed(x: Any) -> Any:
    pooled = layers.AveragePooling2D(3, strides=1, padding="same")(x)
    factored = _conv(_conv(_conv(x, 6, 1), 6, (1, 5)), 8, (5, 1))
    branches = [_conv(x, 8, 1), _conv(_conv(x, 6, 1), 8, 3), factored, _conv(pooled, 6, 1)]
    return layers.Concatenate()(branches)


@_architecture
def squeeze_excite() -> keras.Model:
    """MobileNetV3: depthwise convolutions, hard-swish, squeeze-and-excite."""
    x = image = keras.Input((24, 24, 3), name="image")
    x = _conv(x, 8, 3, 2, "hard_swish")
    for filters, size, stride, act in (
        (8, 3, 1, "relu"),
        (12, 5, 2, "hard_swish"),
        (12, 3, 1, "hard_swish"),
    ):
        skip = x
        x = _conv(x, 24, 1, act=act)
        x = _excited(_depthwise(x, size, stride, act))
        x = _conv(x, filters, 1, act=None)
        if skip.shape == x.shape:
            x = layers.Add()([skip, x])
    x = layers.GlobalAveragePooling2D()(_conv(x, 48, 1, act="hard_swish"))
    x = _dense(x, 48, "hard_swish")
    return keras.Model(image, _classes(x))


def _excited(x: Any) -> Any:
    filters = x.shape[-1]
    gate = layers.GlobalAveragePooling2D(keepdims=True)(x)
    gate = layers.Conv2D(filters // 2, 1, activation="relu", bias_initializer=_bias())(gate)
    gate = layers.Conv2D(filters, 1, activation="hard_sigmoid", bias_initializer=_bias())(gate)
    return layers.Multiply()([x, gate])


@_architecture
def inverted_residual() -> keras.Model:
    """MobileNetV2: narrow, wide, narrow, with ReLU6."""
    x = image = keras.Input((24, 24, 3), name="image")
    x = _conv(x, 8, 3, 2, "relu6")
    for filters, stride in ((8, 1), (12, 2), (12, 1), (12, 1), (16, 2), (16, 1)):
        skip = x
        x = _depthwise(_conv(x, 4 * x.shape[-1], 1, act="relu6"), 3, stride, "relu6")
        x = _conv(x, filters, 1, act=None)
        if skip.shape == x.shape:
            x = layers.Add()([skip, x])
    x = layers.GlobalAveragePooling2D()(_conv(x, 48, 1, act="relu6"))
    return keras.Model(image, _classes(x))


# -- dense prediction --------------------------------------------------------------------------------------------


@_architecture
def unet() -> keras.Model:
    """U-Net: the first tensors are needed again by the last operators."""
    x = image = keras.Input((16, 16, 3), name="image")
    skips = []
    for filters in (8, 12):
        x = _conv(_conv(x, filters, 3), filters, 3)
        skips.append(x)
        x = layers.MaxPooling2D()(x)
    x = _conv(_conv(x, 16, 3), 16, 3)
    x = layers.Conv2DTranspose(12, 2, strides=2)(x)
    x = _conv(_conv(layers.Concatenate()([x, skips[1]]), 12, 3), 12, 3)
    x = layers.UpSampling2D(interpolation="bilinear")(x)
    x = _conv(_conv(layers.Concatenate()([x, skips[0]]), 8, 3), 8, 3)
    mask = layers.Conv2D(4, 1, activation="softmax", name="mask")(x)
    return keras.Model(image, mask)


@_architecture
def yolo_neck() -> keras.Model:
    """YOLO: features flow up and down again through concatenations into three outputs."""
    x = image = keras.Input((24, 24, 3), name="image")
    act = "leaky_relu"
    x = fine = _conv(_conv(x, 8, 3, 2, "silu"), 12, 3, act=act)
    x = middle = _conv(_conv(x, 16, 3, 2, act), 16, 3, act=act)
    x = _conv(x, 24, 3, 2, act)
    pools = [x]
    for _ in range(2):
        pools.append(layers.MaxPooling2D(3, strides=1, padding="same")(pools[-1]))
    coarse = _conv(layers.Concatenate()(pools), 16, 1, act=act)

    # UpSampling2D becomes RESHAPE and TILE, Resizing becomes RESIZE_NEAREST_NEIGHBOR: one of each.
    upsampled = layers.UpSampling2D()(coarse)
    middle = _conv(layers.Concatenate()([upsampled, middle]), 16, 3, act=act)
    upsampled = layers.Resizing(*fine.shape[1:3], interpolation="nearest")(middle)
    fine = _conv(layers.Concatenate()([upsampled, fine]), 12, 3, act=act)
    middle = _conv(layers.Concatenate()([_conv(fine, 12, 3, 2, act), middle]), 16, 3, act=act)
    coarse = _conv(layers.Concatenate()([_conv(middle, 16, 3, 2, act), coarse]), 16, 3, act=act)
    scales = {"fine": fine, "middle": middle, "coarse": coarse}
    return keras.Model(image, [_boxes(x, name) for name, x in scales.items()])


def _boxes(x: Any, name: str) -> Any:
    anchors, fields = 2, 7
    x = layers.Conv2D(anchors * fields, 1, bias_initializer=_bias())(x)
    x = layers.Reshape((x.shape[1] * x.shape[2] * anchors, fields))(x)
    return layers.Activation("sigmoid", name=name)(x)


# -- several inputs, sequences, vectors --------------------------------------------------------------------------


@_architecture
def two_inputs() -> keras.Model:
    """An image modulated by a vector, and both joined again at the end."""
    x = image = keras.Input((16, 16, 3), name="image")
    v = vector = keras.Input((12,), name="vector")
    v = _dense(v, 32, "relu")
    for filters in (12, 16):
        x = _conv(_conv(x, filters, 3), filters, 3, 2)
        scale = layers.Reshape((1, 1, filters))(_dense(v, filters, "sigmoid"))
        shift = layers.Reshape((1, 1, filters))(_dense(v, filters))
        x = layers.ReLU()(layers.Add()([layers.Multiply()([x, scale]), shift]))
    x = layers.GlobalAveragePooling2D()(_conv(x, 24, 3))
    x = _dense(layers.Concatenate()([x, v]), 40, "relu")
    return keras.Model([image, vector], _classes(x))


@_architecture
def lstm() -> keras.Model:
    """Two LSTM layers, each one fused operator with state of its own.

    The first keeps Keras's zero biases, so its operator reads one shared tensor three times.
    """
    return _sequence_model(
        _recurrent.FusedLSTM(24, return_sequences=True),
        _recurrent.FusedLSTM(40, return_sequences=True, bias_initializer=_bias()),
    )


@_architecture
def gru() -> keras.Model:
    """Two GRU layers, each a WHILE loop over a body subgraph."""
    return _sequence_model(
        layers.GRU(24, return_sequences=True),
        layers.GRU(40, return_sequences=True, bias_initializer=_bias()),
    )


@_architecture
def gru_unrolled() -> keras.Model:
    """One GRU layer written out step by step."""
    x = sequence = keras.Input((3, 8), name="sequence")
    x = layers.GRU(24, unroll=True, bias_initializer=_bias())(x)
    return keras.Model(sequence, _classes(x))


def _sequence_model(first: layers.RNN, second: layers.RNN) -> keras.Model:
    x = sequence = keras.Input((12, 8), name="sequence")
    x = layers.Conv1D(24, 3, padding="same", use_bias=False)(x)
    x = _activated(_norm(x), "relu")
    x = layers.Add()([x, first(x)])
    x = second(_dense(x, 32, "relu"))
    x = _dense(layers.Flatten()(layers.AveragePooling1D(2)(x)), 40, "tanh")
    x = _dense(x, 24, "relu")
    return keras.Model(sequence, _classes(x))


@_architecture
def mlp() -> keras.Model:
    """Flatten, then dense layers with gates around them."""
    x = image = keras.Input((8, 8, 3), name="image")
    x = _dense(layers.Flatten()(x), 48, "relu")
    for act in ("tanh", "gelu", "elu"):
        gate = _dense(x, 48, "sigmoid")
        step = layers.Multiply()([gate, _dense(x, 48, act)])
        x = layers.Add()([x, step])
    return keras.Model(image, _classes(x))


@_architecture
def attention() -> keras.Model:
    """One transformer block over the patches of an image."""
    image = keras.Input((16, 16, 3), name="image")
    x = layers.Conv2D(24, 4, strides=4)(image)
    x = layers.Reshape((16, 24))(x)
    y = layers.LayerNormalization()(x)
    x = layers.Add()([x, layers.MultiHeadAttention(2, 12)(y, y)])
    y = _dense(layers.LayerNormalization()(x), 48, "gelu")
    x = layers.Add()([x, _dense(y, 24)])
    return keras.Model(image, _classes(layers.GlobalAveragePooling1D()(x)))

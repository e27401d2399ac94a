"""Networks of keras.applications as TFLite files, with seeded random weights, made once under .cache/benchmarks."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import numpy.typing as npt

from converter.convert import convert_to_tflite

DIRECTORY = Path(__file__).parents[1] / ".cache" / "benchmarks"
DTYPES = ("float32", "int8")
_INPUT = (224, 224, 3)
_CALIBRATION_IMAGES = 32
_SEED = 2026
# TensorFlow stays out of this process, as it does everywhere else in the project.
# Weights as they are drawn let the signal die away: MobileNetV2 would answer every image alike, to the bit. So each layer is
# normalised by what eight images of noise give in it, and the last one tells classes apart.
_SAVE = """
import sys, keras, numpy as np
name, _, seed = sys.argv[1].partition(" ")
keras.utils.set_random_seed(int(seed))
model = getattr(keras.applications, name)(weights=None)
for layer in model.layers:
    if isinstance(layer, keras.layers.BatchNormalization):
        layer.momentum = 0.0
model(np.random.default_rng(0).uniform(-1, 1, (8, 224, 224, 3)).astype(np.float32), training=True)
kernel, *rest = model.layers[-1].get_weights()
model.layers[-1].set_weights([8 * kernel, *rest])
model.save(sys.argv[2])
"""

# A residual block between convolutions: of small images, small enough for a hundred thousand frames in minutes.
_SAVE_SMALL = """
import sys, keras
from keras import layers
keras.utils.set_random_seed(0)
side = int(sys.argv[1])
inputs = keras.Input((side, side, 3))
stem = layers.Conv2D(16, 3, padding="same", activation="relu")(inputs)
inner = layers.Conv2D(16, 3, padding="same")(layers.Conv2D(16, 3, padding="same", activation="relu")(stem))
block = layers.ReLU()(layers.Add()([stem, inner]))
wide = layers.Conv2D(32, 3, strides=2, padding="same", activation="relu")(block)
outputs = layers.Dense(10)(layers.GlobalAveragePooling2D()(wide))
keras.Model(inputs, outputs).save(sys.argv[2])
"""


def keras_file(name: str, seed: int = 0) -> Path:
    """The Keras file of a network, "ResNet50" for instance; some seconds the first time. Args: seed: of its weights."""
    return save_keras(_SAVE, f"{name} {seed}", DIRECTORY / f"{_stem(name, seed)}.keras")


def save_keras(program: str, argument: str, path: Path) -> Path:
    """Has a Python program with Keras in it write `path`, its second argument, unless it is there."""
    DIRECTORY.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        draft = path.with_name(f"draft-{os.getpid()}-{path.name}")
        subprocess.run(
            [sys.executable, "-c", program, argument, str(draft)],
            check=True,
            env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
            stderr=subprocess.DEVNULL,
        )
        os.replace(draft, path)
    return path


def tflite_file(name: str, dtype: str = "float32", seed: int = 0) -> Path:
    """The file of a network; some seconds to minutes the first time.

    Args:
        dtype: float32, or int8: inputs, outputs and all between as integers, calibrated on photographs.
        seed: of its weights; another one is another version of the model.
    """
    path = DIRECTORY / f"{_stem(name, seed)}{'' if dtype == 'float32' else f'-{dtype}'}.tflite"
    if not path.exists():
        convert(keras_file(name, seed), dtype, path, _INPUT)
    return path


def _stem(name: str, seed: int) -> str:
    return f"{name.lower()}-live{seed}"


def small_tflite_file(dtype: str = "float32", image_size: int = 32) -> Path:
    """The file of a network of few operators: a fraction of a millisecond for images of 32 x 32.

    Args: image_size: pixels of a side. What crosses its cuts grows with the square: up to 0.13 MB at 32, 3.3 MB at 160 (float32).
    """
    name = "small" if image_size == 32 else f"small{image_size}"
    path = DIRECTORY / f"{name}-{dtype}.tflite"
    if not path.exists():
        source = save_keras(_SAVE_SMALL, str(image_size), DIRECTORY / f"{name}.keras")
        convert(source, dtype, path, (image_size, image_size, 3))
    return path


def convert(source: Path, dtype: str, path: Path, input_shape: tuple[int, int, int]) -> None:
    """Writes a Keras file as TFLite."""
    with tempfile.TemporaryDirectory(dir=DIRECTORY) as scratch:
        photographs = Path(scratch) / "photographs.npy"
        np.save(photographs, photograph_crops(_CALIBRATION_IMAGES, input_shape))
        converted = convert_to_tflite(
            source,
            quantize="none" if dtype == "float32" else dtype,
            calibration=None if dtype == "float32" else photographs,
            work_dir=Path(scratch),
            on_progress=lambda what, share: None,
        )
        os.replace(converted.tflite, path)


def photograph_crops(count: int, shape: tuple[int, int, int]) -> npt.NDArray[np.float32]:
    """Places of scikit-learn's two photographs, (count, *shape), from -1 to 1; the same ones at every call."""
    from sklearn.datasets import load_sample_images  # a second that only those pay who need images

    generator = np.random.default_rng(_SEED)
    photographs = load_sample_images().images
    height, width, _ = shape
    crops = []
    for index in range(count):
        image = photographs[index % len(photographs)]
        y, x = (int(generator.integers(0, limit)) for limit in (image.shape[0] - height, image.shape[1] - width))
        crops.append(image[y : y + height, x : x + width])
    return np.stack(crops).astype(np.float32) / 127.5 - 1

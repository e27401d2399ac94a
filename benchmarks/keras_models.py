"""Networks of keras.applications as TFLite files, with seeded random weights, made once under .cache/benchmarks."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from converter.convert import convert_to_tflite

DIRECTORY = Path(__file__).parents[1] / ".cache" / "benchmarks"
# TensorFlow stays out of this process, as it does everywhere else in the project.
_SAVE = """
import sys, keras
keras.utils.set_random_seed(0)
getattr(keras.applications, sys.argv[1])(weights=None).save(sys.argv[2])
"""


def tflite_file(name: str) -> Path:
    """The float32 file of a network, "ResNet50" for instance; some seconds to minutes the first time."""
    DIRECTORY.mkdir(parents=True, exist_ok=True)
    path = DIRECTORY / f"{name.lower()}.tflite"
    if not path.exists():
        keras_file = path.with_suffix(".keras")
        subprocess.run(
            [sys.executable, "-c", _SAVE, name, str(keras_file)],
            check=True,
            env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
            stderr=subprocess.DEVNULL,
        )
        converted = convert_to_tflite(keras_file, work_dir=DIRECTORY, on_progress=lambda what, share: None)
        os.replace(converted.tflite, path)
    return path

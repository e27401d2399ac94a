"""Sub-models of a Keras model: in a process of its own, as everywhere, because TensorFlow is in it."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytest.importorskip("keras", reason="needs TensorFlow")

# A block with a skip connection between two plain layers: no cut can lie in the block.
#
#   input - first - inner - add - last
#             \_____________/
_PROGRAM = """
import keras, numpy as np
from keras import layers
from benchmarks.chain.defer.make_parts import bottleneck_layers, make_parts
inputs = keras.Input((8, 8, 3))
first = layers.Conv2D(4, 3, padding="same", name="first")(inputs)
inner = layers.DepthwiseConv2D(3, padding="same", name="inner")(first)
both = layers.Add(name="add")([first, inner])
model = keras.Model(inputs, layers.Dense(2, name="last")(layers.Flatten(name="flat")(both)))
found = bottleneck_layers(model)
assert [name for name, _ in found] == ["first", "add", "flat"], found
work = {"first": 64 * 4 * 27, "inner": 64 * 4 * 9, "add": 64 * 4, "flat": 64 * 4, "last": 2 * 256, "input": 64 * 3}
assert abs(found[0][1] - (work["input"] + work["first"]) / sum(work.values())) < 1e-9, found
parts, names = make_parts(model, [0.1, 0.9])
assert names == ["first", "add"], names
x = y = np.random.default_rng(0).standard_normal((1, 8, 8, 3)).astype("float32")
for part in parts:
    y = part(y)
assert np.allclose(y, model(x), atol=1e-5)
print("ok")
"""


def test_parts_are_cut_where_all_passes_and_give_the_whole() -> None:
    done = subprocess.run([sys.executable, "-c", _PROGRAM], capture_output=True, text=True, timeout=200, check=False)
    assert done.stdout.strip().endswith("ok"), done.stderr[-2000:]

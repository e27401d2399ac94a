"""Writes the sub-models of a Keras model: `python -m benchmarks.chain.defer.make_parts MODEL OUT SHARE,SHARE,...`.

A process of its own, because TensorFlow is in it. Prints the layers that it cut behind.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import keras

from benchmarks.chain.defer.cut_layers import nearest_layers


def make_parts(model: Any, wanted: list[float]) -> tuple[list[Any], list[str]]:
    """The sub-models, and the names of the layers between them. Args: wanted: shares of the work done at the cuts."""
    names = nearest_layers(wanted, bottleneck_layers(model))
    outputs = [model.get_layer(name).output for name in names]
    ends = zip([model.input, *outputs], [*outputs, model.output])
    return [keras.Model(begin, end) for begin, end in ends], names


def bottleneck_layers(model: Any) -> list[tuple[str, float]]:
    """(name, share of the multiply-accumulates done) of each layer whose output is all that later layers need."""
    place = {id(layer): index for index, layer in enumerate(model.layers)}
    needed_until = [0] * len(model.layers)
    for index, layer in enumerate(model.layers):
        for tensor in keras.tree.flatten(layer.input):
            before = place[id(tensor._keras_history.operation)]
            needed_until[before] = max(needed_until[before], index)
    work = [_work(layer) for layer in model.layers]
    found, reached = [], 0
    for index, layer in enumerate(model.layers[:-1]):
        if index > 0 and reached <= index:
            found.append((layer.name, sum(work[: index + 1]) / sum(work)))
        reached = max(reached, needed_until[index])
    return found


def _work(layer: Any) -> float:
    """Multiply-accumulates where there are weights, else elements of the output."""
    elements = 1.0
    for size in layer.output.shape[1:]:
        elements *= size
    kernel = getattr(layer, "kernel", None)
    if kernel is None or len(kernel.shape) < 2:
        return elements
    window = 1.0
    for size in kernel.shape[:-1]:
        window *= size
    # A depthwise kernel is (H, W, channels, multiplier): every output element sees H x W of them.
    return elements * (window / kernel.shape[-2] if isinstance(layer, keras.layers.DepthwiseConv2D) else window)


def main() -> None:
    """Entry point."""
    source, out, shares = sys.argv[1], Path(sys.argv[2]), sys.argv[3]
    parts, names = make_parts(keras.models.load_model(source), [float(s) for s in shares.split(",") if s])
    for index, part in enumerate(parts):
        part.save(out / f"part{index}.keras")
    print(" ".join(names), flush=True)


if __name__ == "__main__":
    main()

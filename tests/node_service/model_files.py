"""Model files made for tests: ones that crash the runtime or fail in it, and large ones made quickly."""

from __future__ import annotations

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from tests.partitioning.graph_builder import ModelBuilder


def crashing_model() -> bytes:
    """A file that the runtime crashes on while it loads: a SPLIT into no parts, which has an output all the same."""
    builder = ModelBuilder()
    main = builder.main
    x, y = main.tensor([4], np.int32), main.tensor([4], np.int32)
    axis = main.constant(np.array([-5], np.int32))
    main.operator("SPLIT", [axis, x], [y], schema.SplitOptionsT(numSplits=0))
    main.ends([x], [y])
    return builder.build()


def failing_model() -> bytes:
    """A file that loads, and fails on most inputs: a GATHER whose indices, 0 or 1 in a measurement, are beyond one row."""
    builder = ModelBuilder()
    main = builder.main
    indices, y = main.tensor([64], np.int32), main.tensor([64, 1])
    table = main.constant(np.ones((1, 1), np.float32))
    main.operator("GATHER", [table, indices], [y], schema.GatherOptionsT())
    main.ends([indices], [y])
    return builder.build()


def dense_model(side: int, layers: int) -> bytes:
    """`layers` FULLY_CONNECTED operators with (side, side) float32 weights each."""
    builder = ModelBuilder()
    main = builder.main
    rng = np.random.default_rng(1)
    first = last = main.tensor([1, side], name="x")
    for layer in range(layers):
        weights = main.constant(rng.normal(size=(side, side)).astype(np.float32), name=f"w{layer}")
        bias = main.constant(np.zeros(side, np.float32), name=f"b{layer}")
        following = main.tensor([1, side], name=f"y{layer}")
        main.operator("FULLY_CONNECTED", [last, weights, bias], [following], schema.FullyConnectedOptionsT())
        last = following
    main.ends([first], [last])
    return builder.build()

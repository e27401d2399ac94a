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


def endless_model() -> bytes:
    """A file that loads, and whose run never ends: WHILE i <= n, where nothing counts i up."""
    builder = ModelBuilder()
    condition, body, main = builder.subgraph("condition"), builder.subgraph("body"), builder.main
    i, n, again = condition.tensor([1], np.int32), condition.tensor([1], np.int32), condition.tensor([1], np.bool_)
    condition.operator("LESS_EQUAL", [i, n], [again], schema.LessEqualOptionsT())
    condition.ends([i, n], [again])
    i, n, following = body.tensor([1], np.int32), body.tensor([1], np.int32), body.tensor([1], np.int32)
    zero = body.constant(np.array([0], np.int32))
    body.operator("ADD", [i, zero], [following], schema.AddOptionsT())
    body.ends([i, n], [following, n])
    n, count, end = (main.tensor([1], np.int32) for _ in range(3))
    start = main.constant(np.array([0], np.int32))
    main.operator("WHILE", [start, n], [count, end], schema.WhileOptionsT(condSubgraphIndex=1, bodySubgraphIndex=2))
    main.ends([n], [count])
    return builder.build()


def custom_model(name: str) -> bytes:
    """A file with one custom operator."""
    builder = ModelBuilder()
    main = builder.main
    x, y = main.tensor([4]), main.tensor([4])
    main.operator("CUSTOM", [x], [y])
    builder.raw.operatorCodes[0].customCode = name.encode()
    main.ends([x], [y])
    return builder.build()


def dense_model(side: int, layers: int, *, has_one_matrix: bool = False) -> bytes:
    """`layers` FULLY_CONNECTED operators with (side, side) float32 weights each, or the same ones in all."""
    builder = ModelBuilder()
    main = builder.main
    rng = np.random.default_rng(1)
    first = last = main.tensor([1, side], name="x")
    for layer in range(layers):
        if layer == 0 or not has_one_matrix:
            weights = main.constant(rng.normal(size=(side, side)).astype(np.float32), name=f"w{layer}")
        bias = main.constant(np.zeros(side, np.float32), name=f"b{layer}")
        following = main.tensor([1, side], name=f"y{layer}")
        main.operator("FULLY_CONNECTED", [last, weights, bias], [following], schema.FullyConnectedOptionsT())
        last = following
    main.ends([first], [last])
    return builder.build()

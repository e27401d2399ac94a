"""Small models of special structure: a chain, a loop, variables inside the runtime, and one with a bit of everything."""

from __future__ import annotations

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from tests.partitioning.graph_builder import ModelBuilder, SubgraphBuilder

RESOURCE = schema.TensorType.RESOURCE


def relu_chain(names: list[str], width: int = 2) -> ModelBuilder:
    """names[0] -RELU-> names[1] -RELU-> ... , each of shape (1, width)."""
    builder = ModelBuilder()
    tensors = [builder.main.tensor([1, width], name=name) for name in names]
    for x, y in zip(tensors, tensors[1:]):
        builder.main.operator("RELU", [x], [y])
    builder.main.ends(tensors[:1], tensors[-1:])
    return builder


def table_lookup() -> ModelBuilder:
    """index -ADD 1-> place -GATHER (rows of a table of four)-> row: runs for indices -1 to 2 and fails for others."""
    builder = ModelBuilder()
    main = builder.main
    index, place = main.tensor([1], np.int32, name="index"), main.tensor([1], np.int32, name="place")
    row = main.tensor([1, 2], name="row")
    main.operator("ADD", [index, main.constant(np.array([1], np.int32))], [place], schema.AddOptionsT())
    table = main.constant(np.arange(8, dtype=np.float32).reshape(4, 2), name="table")
    main.operator("GATHER", [table, place], [row], schema.GatherOptionsT(axis=0))
    main.ends([index], [row])
    return builder


def lookup_then_relu() -> ModelBuilder:
    """place -GATHER (rows of a table of four)-> row -RELU-> out: runs for places 0 to 3 and fails for others."""
    builder = ModelBuilder()
    main = builder.main
    place, row, out = main.tensor([1], np.int32, name="place"), main.tensor([1, 2], name="row"), main.tensor([1, 2])
    table = main.constant(np.arange(8, dtype=np.float32).reshape(4, 2), name="table")
    main.operator("GATHER", [table, place], [row], schema.GatherOptionsT(axis=0))
    main.operator("RELU", [row], [out])
    main.ends([place], [out])
    return builder


def loop() -> ModelBuilder:
    """x -RELU-> y -WHILE (three times z = 2 y)-> z -RELU-> out, with a subgraph before the loop's that nobody runs."""
    builder = ModelBuilder()
    _unary(builder.subgraph("unused"), "RELU")
    condition, body = builder.subgraph("condition"), builder.subgraph("body")

    i, value, again = condition.tensor([], np.int32), condition.tensor([1, 2]), condition.tensor([], np.bool_)
    limit = condition.constant(np.array(3, np.int32))
    condition.operator("LESS", [i, limit], [again], schema.LessOptionsT())
    condition.ends([i, value], [again])

    i, value, next_i, doubled = (
        body.tensor([], np.int32),
        body.tensor([1, 2]),
        body.tensor([], np.int32),
        body.tensor([1, 2]),
    )
    body.operator("ADD", [i, body.constant(np.array(1, np.int32))], [next_i], schema.AddOptionsT())
    body.operator("ADD", [value, value], [doubled], schema.AddOptionsT())
    body.ends([i, value], [next_i, doubled])

    main = builder.main
    x, y, z, out = (main.tensor([1, 2], name=name) for name in ("x", "y", "z", "out"))
    start, count = main.constant(np.array(0, np.int32), name="start"), main.tensor([], np.int32, name="count")
    main.operator("RELU", [x], [y])
    main.operator("WHILE", [start, y], [count, z], schema.WhileOptionsT(condSubgraphIndex=2, bodySubgraphIndex=3))
    main.operator("RELU", [z], [out])
    main.ends([x], [out])
    return builder


def count_up() -> ModelBuilder:
    """n -WHILE (i = 0; i < n; i += 1)-> i: a run takes as long as its input says."""
    builder = ModelBuilder()
    condition, body = builder.subgraph("condition"), builder.subgraph("body")
    i, limit, again = condition.tensor([1], np.int32), condition.tensor([1], np.int32), condition.tensor([1], np.bool_)
    condition.operator("LESS", [i, limit], [again], schema.LessOptionsT())
    condition.ends([i, limit], [again])

    i, limit, following = body.tensor([1], np.int32), body.tensor([1], np.int32), body.tensor([1], np.int32)
    one = body.constant(np.array([1], np.int32))
    body.operator("ADD", [i, one], [following], schema.AddOptionsT())
    body.ends([i, limit], [following, limit])

    main = builder.main
    n, count, end = (main.tensor([1], np.int32, name=name) for name in ("n", "count", "end"))
    start = main.constant(np.array([0], np.int32), name="start")
    main.operator("WHILE", [start, n], [count, end], schema.WhileOptionsT(condSubgraphIndex=1, bodySubgraphIndex=2))
    main.ends([n], [count])
    return builder


def accumulator() -> ModelBuilder:
    """total += x; out = RELU(RELU(total)), where total is a variable that the runtime keeps from frame to frame."""
    builder = ModelBuilder()
    init, main = builder.subgraph("init"), builder.main

    handle = init.tensor([], tensor_type=RESOURCE)
    init.operator("VAR_HANDLE", [], [handle], schema.VarHandleOptionsT(sharedName=b"total"))
    zero = init.constant(np.zeros((1, 2), np.float32))
    init.operator("ASSIGN_VARIABLE", [handle, zero], [], schema.AssignVariableOptionsT())
    init.ends([], [])

    x, old, new, y, out = (main.tensor([1, 2], name=name) for name in ("x", "old", "new", "y", "out"))
    read_from = main.tensor([], tensor_type=RESOURCE, name="read_from")
    write_to = main.tensor([], tensor_type=RESOURCE, name="write_to")
    main.operator("CALL_ONCE", [], [], schema.CallOnceOptionsT(initSubgraphIndex=1))
    main.operator("VAR_HANDLE", [], [read_from], schema.VarHandleOptionsT(sharedName=b"total"))
    main.operator("READ_VARIABLE", [read_from], [old], schema.ReadVariableOptionsT())
    main.operator("ADD", [x, old], [new], schema.AddOptionsT())
    main.operator("VAR_HANDLE", [], [write_to], schema.VarHandleOptionsT(sharedName=b"total"))
    main.operator("ASSIGN_VARIABLE", [write_to, new], [], schema.AssignVariableOptionsT())
    main.operator("RELU", [new], [y])
    main.operator("RELU", [y], [out])
    main.ends([x], [out])
    return builder


def bit_of_everything() -> ModelBuilder:
    """The loop, with quantised tensors, a dequantised constant, an optional input left out, metadata and a signature."""
    builder = loop()
    main = builder.main
    quantised = main.tensor([1, 2], np.int8, name="quantised", scale=0.1, zero_point=4)
    back = main.tensor([1, 2], name="back", signature=[-1, 2])
    weights = main.constant(np.ones((2, 2), np.float16), name="weights16")
    weights32, y = main.tensor([2, 2], name="weights32"), main.tensor([1, 2], name="fully_connected")
    out = int(main.raw.outputs[0])
    main.operator("QUANTIZE", [out], [quantised], schema.QuantizeOptionsT())
    main.operator("DEQUANTIZE", [quantised], [back], schema.DequantizeOptionsT())
    main.operator("DEQUANTIZE", [weights], [weights32], schema.DequantizeOptionsT())
    main.operator("FULLY_CONNECTED", [back, weights32, -1], [y], schema.FullyConnectedOptionsT())
    main.ends([int(main.raw.inputs[0])], [y])
    builder.metadata("min_runtime_version", b"2.17.0\0\0\0\0")
    builder.metadata("something else", b"not kept")
    sign(builder, {"image": int(main.raw.inputs[0])}, {"answer": y})
    return builder


def sign(builder: ModelBuilder, inputs: dict[str, int], outputs: dict[str, int], subgraph_index: int = 0) -> None:
    """Adds a signature."""
    builder.raw.signatureDefs = [
        *(builder.raw.signatureDefs or []),
        schema.SignatureDefT(
            signatureKey=b"serving_default",
            inputs=[schema.TensorMapT(name=n.encode(), tensorIndex=t) for n, t in inputs.items()],
            outputs=[schema.TensorMapT(name=n.encode(), tensorIndex=t) for n, t in outputs.items()],
            subgraphIndex=subgraph_index,
        ),
    ]


def _unary(graph: SubgraphBuilder, kind: str) -> None:
    x, y = graph.tensor([1, 2]), graph.tensor([1, 2])
    graph.operator(kind, [x], [y])
    graph.ends([x], [y])

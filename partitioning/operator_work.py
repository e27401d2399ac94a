"""How much arithmetic an operator does, from shapes alone: for choosing where to look, never for a plan's costs."""

from __future__ import annotations

import math

from partitioning.graph import Graph, Operator
from partitioning.tflite_schema import indices

# Operators whose work per output element is a whole window of their weights; in a convolution's weights the first
# dimension counts output channels, in a depthwise convolution's the last.
_WINDOW_AXES = {"CONV_2D": 0, "CONV_3D": 4, "DEPTHWISE_CONV_2D": 3, "FULLY_CONNECTED": 0, "TRANSPOSE_CONV": 0}


def estimate_work(graph: Graph) -> list[float]:
    """Multiply-accumulates per operator, (n_ops,); one per output element where nothing better is known.

    A dimension known only at run time counts as the file says, usually 1. Real times depend on kernels, memory and threads: a
    MobileNet's operators differ tenfold in seconds per multiply-accumulate.
    """
    return [_work(graph, op) for op in graph.operators]


def _work(graph: Graph, op: Operator) -> float:
    elements = sum(math.prod(graph.tensors[t].usual_shape) for t in op.outputs)
    axis = _WINDOW_AXES.get(op.kind)
    weights = _weights_shape(graph, op)
    if axis is None or len(weights) <= axis or weights[axis] == 0:
        return float(elements)
    if op.kind == "TRANSPOSE_CONV":  # every input element, spread over the window of every output channel
        elements = sum(math.prod(graph.tensors[t].usual_shape) for t in op.inputs)
        return float(elements) * math.prod(weights) / max(1, weights[-1])
    return float(elements) * math.prod(weights) / weights[axis]


def _weights_shape(graph: Graph, op: Operator) -> tuple[int, ...]:
    """Shape of the second operand as the file has it; constants are not among `op.inputs`."""
    operands = [int(t) for t in indices(graph.model.subgraphs[0].operators[op.source_index].inputs)]
    return graph.tensors[operands[1]].usual_shape if len(operands) > 1 and operands[1] >= 0 else ()

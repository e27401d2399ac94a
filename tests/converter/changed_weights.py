"""One changed byte in a TFLite file's weights: what every comparison of bits must notice."""

from __future__ import annotations

import numpy as np

from partitioning import Graph


def with_one_byte_changed(tflite: bytes) -> bytes:
    """The file with another sign for one weight: the greatest of its largest convolution, or else of its largest tensor.

    A convolution's weight meets every pixel; a dense layer's may meet nothing but a zero.
    """
    graph = Graph.from_bytes(tflite)
    raws = graph.model.subgraphs[0].tensors
    weights = [t for t in graph.tensors if t.is_constant and t.dtype in (np.float32, np.int8)]
    chosen = max(weights, key=lambda t: (len(t.shape), t.size_bytes))
    data = bytes(graph.model.buffers[raws[chosen.tensor_index].buffer].data)
    values = np.frombuffer(data, chosen.dtype).astype(np.float64)
    top_byte = (int(np.abs(values).argmax()) + 1) * (len(data) // values.size) - 1
    place = tflite.index(data) + top_byte
    return tflite[:place] + bytes([tflite[place] ^ 0x80]) + tflite[place + 1 :]

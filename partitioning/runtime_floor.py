"""The oldest runtime that a TFLite file asks for."""

from __future__ import annotations

from partitioning.graph import Graph


def read_runtime_floor(graph: Graph) -> str:
    """TensorFlow version ("2.17.0") that the converter wrote as the oldest that knows all operators; "" if it did not."""
    for metadata in graph.model.metadata or []:
        if metadata.name in (b"min_runtime_version", "min_runtime_version"):
            data = graph.model.buffers[metadata.buffer].data
            return bytes(data).rstrip(b"\0").decode("ascii", "replace") if data is not None else ""
    return ""

"""A graph's partitions and tensors as the contracts describe them."""

from __future__ import annotations

import numpy as np

from partitioning import Graph
from partitioning.boundaries import PartitionSpec
from protos.v1.manifest_pb2 import ModelFile, Partition
from protos.v1.tensor_pb2 import Quantization, TensorSpec
from transport.tensor_spec import wire_dtype


def partition_message(graph: Graph, spec: PartitionSpec, file: ModelFile) -> Partition:
    """A partition whose file was written from `spec`."""
    return Partition(
        file=file,
        start_op=spec.start_op,
        stop_op=spec.stop_op,
        inputs=[tensor_spec(graph, t) for t in spec.inputs],
        outputs=[tensor_spec(graph, t) for t in spec.outputs],
        arriving=[tensor_spec(graph, t) for t in spec.arriving],
        leaving=[tensor_spec(graph, t) for t in spec.leaving],
    )


def tensor_spec(graph: Graph, tensor_index: int) -> TensorSpec:
    """The contract's description of a tensor that can cross a cut, with its alias if it is an input or output."""
    tensor = graph.tensors[tensor_index]
    assert tensor.dtype is not None, "a cut with a tensor of no fixed element size is not legal"
    spec = TensorSpec(
        name=tensor.name,
        dtype=wire_dtype(tensor.dtype),
        shape=tensor.shape,
        alias=graph.aliases.get(tensor_index, ""),
    )
    # Files made from quantisation-aware training may keep a scale on float tensors too; nothing is quantised by it.
    if tensor.scale is not None and np.issubdtype(tensor.dtype, np.integer):
        spec.quantization.CopyFrom(Quantization(scale=tensor.scale, zero_point=tensor.zero_point))
    return spec

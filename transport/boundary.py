"""Checks a frame's tensors against what a deployment says must arrive, before any memory is taken for them."""

from __future__ import annotations

from collections.abc import Sequence

from protos.v1.tensor_pb2 import TensorSpec
from transport.errors import FrameError
from transport.frame import EncodedTensor
from transport.tensor_spec import describe, numpy_dtype, shape_fits


def check_boundary(specs: Sequence[TensorSpec], tensors: Sequence[EncodedTensor]) -> None:
    """Raises FrameError, naming every tensor that differs, unless the tensors are those of `specs`, in order."""
    if len(specs) != len(tensors):
        raise FrameError(
            f"the frame holds {len(tensors)} tensors, expected {len(specs)}: {'; '.join(map(describe, specs))}."
        )
    wrong = [
        f"{describe(spec)}, got {numpy_dtype(tensor.header.dtype).name} {list(tensor.header.shape)}"
        for spec, tensor in zip(specs, tensors)
        if tensor.header.dtype != spec.dtype or not shape_fits(spec.shape, tensor.header.shape)
    ]
    if wrong:
        raise FrameError(f"the frame's tensors do not fit the deployment; expected {'; '.join(wrong)}.")

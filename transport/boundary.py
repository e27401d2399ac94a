"""Checks a frame's tensors against what a deployment says must arrive, before any memory is taken for them."""

from __future__ import annotations

import math
from collections.abc import Sequence

from protos.v1.tensor_pb2 import DType, TensorSpec
from transport.errors import FrameError
from transport.frame import ALIGNMENT_BYTES, EncodedTensor
from transport.tensor_spec import describe, numpy_dtype, shape_fits


def check_boundary(specs: Sequence[TensorSpec], tensors: Sequence[EncodedTensor]) -> None:
    """Raises FrameError, naming every tensor that differs, unless the tensors are those of `specs`, in order."""
    if len(specs) != len(tensors):
        raise FrameError(
            f"the frame holds {len(tensors)} tensors, expected {len(specs)}: {'; '.join(map(describe, specs))}."
        )
    wrong = [
        f"{describe(spec)}, got {_dtype_name(tensor.header.dtype)} {list(tensor.header.shape)}"
        for spec, tensor in zip(specs, tensors)
        if tensor.header.dtype != spec.dtype or not shape_fits(spec.shape, tensor.header.shape)
    ]
    if wrong:
        raise FrameError(f"the frame's tensors do not fit the deployment; expected {'; '.join(wrong)}.")


def boundary_bytes(specs: Sequence[TensorSpec]) -> int:
    """Bytes of a frame's raw tensors, padding included; a dimension known only at run time counts as 1."""
    sizes = [numpy_dtype(s.dtype).itemsize * math.prod(max(1, n) for n in s.shape) for s in specs]
    return sum(size + -size % ALIGNMENT_BYTES for size in sizes)


def _dtype_name(dtype: DType) -> str:
    # The peer's number, which may be none of ours.
    return DType.Name(dtype).lower() if dtype in DType.values() else f"dtype number {dtype}"

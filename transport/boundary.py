"""Checks a frame's tensors against what a deployment says must arrive, before any memory is taken for them."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from protos.v1.data_plane_pb2 import Codec
from protos.v1.tensor_pb2 import DType, TensorSpec
from transport.errors import FrameError
from transport.frame import ALIGNMENT_BYTES, EncodedTensor
from transport.tensor_codec import decode_tensor
from transport.tensor_spec import Array, describe, numpy_dtype, shape_fits


def check_boundary(specs: Sequence[TensorSpec], tensors: Sequence[EncodedTensor]) -> None:
    """Raises FrameError, naming every tensor that differs, unless the tensors are those of `specs`, in order."""
    if len(specs) != len(tensors):
        raise FrameError(
            f"the frame holds {len(tensors)} tensors, expected {len(specs)}: {'; '.join(map(describe, specs))}."
        )
    wrong = [
        f"{describe(spec)}, got {_dtype_name(tensor.header.dtype)} {list(tensor.header.shape)}"
        for spec, tensor in zip(specs, tensors)
        if tensor.header.dtype != spec.dtype
        or not shape_fits(spec.shape, tensor.header.shape)
        or any(n < 0 for n in tensor.header.shape)
    ]
    if wrong:
        raise FrameError(f"the frame's tensors do not fit the deployment; expected {'; '.join(wrong)}.")


class Boundary:
    """The tensors that must arrive at a stage, in order; checks and views each frame's at the least cost."""

    def __init__(self, specs: Sequence[TensorSpec], most_bytes: int | None = None) -> None:
        """Args: most_bytes: of a frame's decoded tensors, where the deployment leaves their size open; None: any number."""
        self._specs = list(specs)
        self._most_bytes = most_bytes
        # What a raw tensor's header and data must be, where no dimension is open: then nothing else has to be looked at.
        self._raw = [
            (spec.dtype, list(spec.shape), numpy_dtype(spec.dtype), tuple(spec.shape), _raw_bytes(spec))
            for spec in self._specs
            if -1 not in spec.shape
        ]

    def arrays(self, tensors: Sequence[EncodedTensor], places: Sequence[int]) -> list[Array]:
        """The arrays at these places, views of the received bytes where these are raw.

        Raises: FrameError, TensorError, CodecUnavailableError: see `check_boundary` and `decode_tensor`.
        """
        if self._are_as_expected(tensors):
            return [np.ndarray(self._raw[i][3], self._raw[i][2], tensors[i].data) for i in places]
        check_boundary(self._specs, tensors)
        if len(self._raw) != len(self._specs) and self._most_bytes is not None:
            self._require_size(tensors, self._most_bytes)
        for spec, tensor in zip(self._specs, tensors):  # those that are only carried along, too
            if tensor.header.codec == Codec.RAW:
                require_raw_length(spec, tensor)
        return [decode_tensor(tensors[i]) for i in places]

    def _require_size(self, tensors: Sequence[EncodedTensor], most_bytes: int) -> None:
        """A few bytes of LZ4 or ZFP may claim to be any tensor that an open dimension permits."""
        n_bytes = sum(numpy_dtype(t.header.dtype).itemsize * math.prod(t.header.shape) for t in tensors)
        if n_bytes > most_bytes:
            raise FrameError(f"the frame's tensors have {n_bytes} bytes decoded; at most {most_bytes} are taken.")

    def _are_as_expected(self, tensors: Sequence[EncodedTensor]) -> bool:
        """Whether all are raw, and of the shapes and sizes that are known beforehand."""
        if len(tensors) != len(self._raw) or len(self._raw) != len(self._specs):
            return False
        for (dtype, shape, _, _, n_bytes), (header, data) in zip(self._raw, tensors):
            if header.codec or header.dtype != dtype or len(data) != n_bytes or header.shape != shape:
                return False
        return True


def require_raw_length(spec: TensorSpec, tensor: EncodedTensor) -> None:
    """Raises: FrameError: a raw tensor's data is not as long as its header says."""
    expected = numpy_dtype(spec.dtype).itemsize * math.prod(tensor.header.shape)
    if len(tensor.data) != expected:
        raise FrameError(f"{describe(spec)} came with {len(tensor.data)} bytes, expected {expected}.")


def _raw_bytes(spec: TensorSpec) -> int:
    return numpy_dtype(spec.dtype).itemsize * math.prod(spec.shape)


def boundary_bytes(specs: Sequence[TensorSpec]) -> int:
    """Bytes of a frame's raw tensors, padding included; a dimension known only at run time counts as 1."""
    sizes = [numpy_dtype(s.dtype).itemsize * math.prod(max(1, n) for n in s.shape) for s in specs]
    return sum(size + -size % ALIGNMENT_BYTES for size in sizes)


def _dtype_name(dtype: DType) -> str:
    # The peer's number, which may be none of ours.
    return DType.Name(dtype).lower() if dtype in DType.values() else f"dtype number {dtype}"

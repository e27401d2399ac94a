"""What arrives at a stage and what leaves it, by the partition's lists of tensors."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Union

import numpy as np

from node_service.errors import BadRequestError
from protos.v1.manifest_pb2 import Partition
from protos.v1.tensor_pb2 import TensorSpec
from runtime import Port
from transport.boundary import Boundary, boundary_bytes
from transport.channel import HEADER_ROOM_BYTES
from transport.frame import EncodedTensor
from transport.tensor_spec import Array, describe, numpy_dtype

# Beyond what a stage expects, a frame is taken up to this size: so that one with wrong tensors is answered with their names.
_WRONG_FRAME_BYTES = 2**20


class Crossing:
    """Of one partition. Tensors that leave as they came are not decoded."""

    def __init__(self, partition: Partition, max_frame_bytes: int | None = None) -> None:
        """Args: max_frame_bytes: of a frame's tensors, decoded; None: any number.
        Raises: BadRequestError: something is neither received nor computed.
        """
        arriving = [t.name for t in partition.arriving]
        outputs = [t.name for t in partition.outputs]
        missing = {t.name for t in partition.inputs} - {*arriving}
        missing |= {t.name for t in partition.leaving} - {*arriving, *outputs}
        if missing:
            raise BadRequestError(f"the stage neither receives nor computes {', '.join(sorted(missing))}.")
        self._arriving = partition.arriving
        self._boundary = Boundary(partition.arriving, max_frame_bytes)
        self._input_places = [arriving.index(t.name) for t in partition.inputs]
        # Where each leaving tensor comes from: the place among the computed outputs, or among what arrived.
        self._sources = [
            (True, outputs.index(t.name)) if t.name in outputs else (False, arriving.index(t.name))
            for t in partition.leaving
        ]
        self.leaving_dtypes: Sequence[np.dtype[Any]] = [numpy_dtype(spec.dtype) for spec in partition.leaving]

    @property
    def most_message_bytes(self) -> int | None:
        """Twice what the stage expects, and a little; None where the deployment leaves a size open."""
        if any(-1 in spec.shape for spec in self._arriving):
            return None
        return 2 * boundary_bytes(self._arriving) + _WRONG_FRAME_BYTES + HEADER_ROOM_BYTES

    def arrays(self, tensors: Sequence[EncodedTensor]) -> list[Array]:
        """What the partition reads of a frame, in its order. Raises: as `Boundary.arrays`."""
        return self._boundary.arrays(tensors, self._input_places)

    def leaving(self, outputs: Sequence[Array], arriving: Sequence[EncodedTensor]) -> list[Union[Array, EncodedTensor]]:
        """What leaves, once the partition's outputs are computed."""
        return [outputs[i] if computed else arriving[i] for computed, i in self._sources]


def check_ports(what: str, specs: Iterable[TensorSpec], ports: tuple[Port, ...]) -> None:
    """Raises BadRequestError unless a file has the tensors that the manifest promises. Args: what: "the partition's inputs"."""
    promised = [(numpy_dtype(s.dtype), tuple(s.shape)) for s in specs]
    if promised != [(p.dtype, p.shape) for p in ports]:
        raise BadRequestError(
            f"{what} are {', '.join(f'{p.name}: {p.dtype.name} {list(p.shape)}' for p in ports)}; "
            f"the manifest says {', '.join(map(describe, specs))}. Manifest and file are of different bundles."
        )

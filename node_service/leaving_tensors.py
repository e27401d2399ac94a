"""How what a stage has computed is coded on its way out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Union

from protos.v1.data_plane_pb2 import Codec
from transport.frame import EncodedTensor
from transport.tensor_codec import encode_tensor
from transport.tensor_spec import Array


class LeavingTensors:
    """Codes computed arrays for one link; what came coded leaves as it came."""

    def __init__(self, codec: Codec) -> None:
        self._codec = codec

    def encode(self, leaving: Sequence[Union[Array, EncodedTensor]]) -> list[EncodedTensor]:
        """The tensors as they travel, in order."""
        return [t if isinstance(t, EncodedTensor) else encode_tensor(t, self._codec) for t in leaving]

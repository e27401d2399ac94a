"""One short bounded transfer over the data plane that loads one link and nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fleet.inventory import Board
from planner.exchange import ExchangeBudget, SteadyState, exchange
from protos.v1.data_plane_pb2 import Hop, OpenStream
from transport.credentials import Credentials
from transport.frame import EncodedTensor
from transport.tensor_codec import encode_tensor

_SEED = 2026


@dataclass(frozen=True)
class ProbeHop:
    """A board on the way, and the bytes that it sends on for every frame (the last one: back)."""

    board: Board
    sends_bytes: int


async def probe(
    hops: Sequence[ProbeHop],
    dispatcher_sends_bytes: int,
    window: int,
    *,
    credentials: Credentials | None,
    budget: ExchangeBudget,
) -> SteadyState:
    """Sends frames through the hops, `window` of them in flight.

    Args:
        dispatcher_sends_bytes: incompressible bytes in each frame that leaves this machine.
    Raises: BoardError, ProbeError: see `exchange`.
    """
    opening = OpenStream(
        hops=[
            Hop(
                board=h.board.name,
                address=str(h.board.address),
                stage_index=i,
                probe_bytes=h.sends_bytes,
                certificate_name=h.board.certificate_name,
            )
            for i, h in enumerate(hops)
        ],
        probe=True,
    )
    boards = [hop.board for hop in hops]
    return await exchange(
        boards, opening, _payload(dispatcher_sends_bytes), window, credentials=credentials, budget=budget
    )


def _payload(size_bytes: int) -> list[EncodedTensor]:
    if size_bytes == 0:
        return []
    return [encode_tensor(np.random.default_rng(_SEED).integers(0, 256, size_bytes, np.uint8))]

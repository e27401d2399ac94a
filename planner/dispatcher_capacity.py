"""What the machine that sends inputs can send and take in all: chains side by side share it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fleet.inventory import Board
from fleet.together import together
from planner.exchange import ExchangeBudget
from planner.link_probe import ProbeHop, probe
from planner.links import TransportCost
from transport.credentials import Credentials

_FRAME_BYTES = 256 * 2**10
_WINDOW = 4


@dataclass(frozen=True)
class DispatcherCapacity:
    """Bytes per second to all boards together, and from them."""

    send_bytes_per_s: float
    receive_bytes_per_s: float

    def frames_per_s(self, input_bytes: float, answer_bytes: float, cost: TransportCost) -> tuple[float, str]:
        """The most frames that one dispatcher can send and take answers to, and what limits it."""
        cpu_s = cost.frame_cpu_s + cost.send_cpu_s_per_byte * input_bytes + cost.receive_cpu_s_per_byte * answer_bytes
        limits = {
            "its processor": 1 / cpu_s if cpu_s else float("inf"),
            "what it can send to all boards together": self.send_bytes_per_s / max(1.0, input_bytes),
            "what it can take from all boards together": self.receive_bytes_per_s / max(1.0, answer_bytes),
        }
        name = min(limits, key=lambda limit: limits[limit])
        return limits[name], name


async def measure_dispatcher(
    boards: Sequence[Board], *, credentials: Credentials | None, budget: ExchangeBudget
) -> DispatcherCapacity:
    """Sends to all boards at once, then has all boards send at once. Raises: BoardError, ProbeError."""
    sent = await together(
        probe([ProbeHop(board, 0)], _FRAME_BYTES, _WINDOW, credentials=credentials, budget=budget) for board in boards
    )
    received = await together(
        probe([ProbeHop(board, _FRAME_BYTES)], 0, _WINDOW, credentials=credentials, budget=budget) for board in boards
    )
    return DispatcherCapacity(
        sum(_FRAME_BYTES / state.frame_s for state in sent), sum(_FRAME_BYTES / state.frame_s for state in received)
    )

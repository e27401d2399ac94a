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
class DispatcherLimit:
    """The most frames that one dispatcher can send and take answers to, and what limits it."""

    frames_per_s: float
    by: str

    def of(self, rate_per_s: float) -> float:
        """What is left of a rate that boards could give."""
        return min(rate_per_s, self.frames_per_s)

    def notes(self, rate_per_s: float) -> list[str]:
        """That the boards could give more than this machine, if they could."""
        if rate_per_s <= self.frames_per_s:
            return []
        return [
            f"the boards could give {rate_per_s:.2f} frames/s, this machine no more than {self.frames_per_s:.2f}: {self.by} is the "
            "limit. Run the dispatcher on a faster machine or link."
        ]


@dataclass(frozen=True)
class DispatcherCapacity:
    """Bytes per second to all boards together, and from them."""

    send_bytes_per_s: float
    receive_bytes_per_s: float

    def limit(self, input_bytes: float, answer_bytes: float, cost: TransportCost) -> DispatcherLimit:
        """The most frames that one dispatcher can send and take answers to."""
        cpu_s = cost.frame_cpu_s + cost.send_cpu_s_per_byte * input_bytes + cost.receive_cpu_s_per_byte * answer_bytes
        limits = {
            "its processor": 1 / cpu_s if cpu_s else float("inf"),
            "what it can send to all boards together": self.send_bytes_per_s / max(1.0, input_bytes),
            "what it can take from all boards together": self.receive_bytes_per_s / max(1.0, answer_bytes),
        }
        name = min(limits, key=lambda limit: limits[limit])
        return DispatcherLimit(limits[name], name)


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

"""The bound of a chain: the reciprocal of its slowest stage or link, each alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

_MS_PER_S = 1e3


@dataclass(frozen=True)
class Bound:
    """What no data plane can exceed on these boards with these cuts and codecs, and the step that says so."""

    images_per_s: float
    limited_by: str


def bound_of(
    boards: Sequence[str],
    invoke_cpu_ms: Sequence[float],
    received_bytes: Sequence[float],
    reply_bytes: float,
    *,
    cores: float,
    link_mbit_s: float,
) -> Bound:
    """The bound of one chain over boards that are alike.

        stage k: invoke_cpu_ms[k] / cores; its link in: what arrives, and the answer that the next board hands back;
        its link out: what the next board receives, and the answer.

    Strict: a stage is its `invoke` and nothing else, a link carries the bytes of messages at its full rate, and everything
    overlaps.
    Args:
        invoke_cpu_ms: processor time inside `invoke` per image with nothing else in flight.
        received_bytes: the message that arrives at each board per image.
        reply_bytes: the answer that goes back through all boards.
        cores: of a core, for each board's `invoke`.
    """
    steps_ms = {f"{board}'s invoke": ms / cores for board, ms in zip(boards, invoke_cpu_ms)}
    bytes_per_ms = link_mbit_s * 1e6 / 8 / _MS_PER_S
    for index, board in enumerate(boards):
        is_last = index + 1 == len(boards)
        arriving = received_bytes[index] + (0.0 if is_last else reply_bytes)
        leaving = reply_bytes + (0.0 if is_last else received_bytes[index + 1])
        steps_ms[f"the link into {board}"] = arriving / bytes_per_ms
        steps_ms[f"the link out of {board}"] = leaving / bytes_per_ms
    slowest = max(steps_ms, key=lambda step: steps_ms[step])
    return Bound(_MS_PER_S / steps_ms[slowest], slowest)

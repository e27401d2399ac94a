"""The service's settings, validated once."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from transport.address import Address
from transport.channel import DEFAULT_MAX_FRAME_BYTES
from transport.message_stream import SILENCE_S


@dataclass(frozen=True)
class NodeConfig:
    """Settings of one node service.

    `name` is what the board calls itself in logs and descriptions. Frames are taken on the port after that of `listen`. A
    neighbour in a chain that gives no sign of life for `peer_silence_s` is taken to be gone. `metrics` is where Prometheus
    scrapes, None for nowhere.
    """

    listen: Address
    store: Path
    name: str
    threads: int = 1
    runtime: str = "auto"
    insecure: bool = False
    max_frame_bytes: int = DEFAULT_MAX_FRAME_BYTES
    drain_timeout_s: float = 30.0
    peer_silence_s: float = SILENCE_S
    metrics: Address | None = None

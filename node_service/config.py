"""The service's settings, validated once."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from runtime import Delegate
from transport.address import Address
from transport.channel import DEFAULT_MAX_FRAME_BYTES
from transport.credentials import Credentials
from transport.message_stream import SILENCE_S

# Flow control bounds what waits in bytes; this bounds what is spent on frames of a few bytes. No window is so large.
MAX_WAITING_FRAMES = 1024


@dataclass(frozen=True)
class NodeConfig:
    """Settings of one node service.

    `credentials` are what peers are shown and checked with; None: plaintext, which was asked for by name. `name` is what the board
    calls itself in logs and descriptions. Stages may ask for any of the `delegates` by name; else they get the first. Frames
    are taken on the port after that of `listen`. A neighbour in a chain that gives no sign of life for `peer_silence_s` is taken to
    be gone. Of a stream, up to `max_waiting_frames` wait for their turn. Streams are limited in all and from one address, loaded
    stages in all. Uploads leave `store_reserve_bytes` of the disk free. Partitions may have `allow_operators` beside the runtime's
    own; before they are loaded they are tried in another process: `trial_load` is "always", "new" or "never". With
    `require_signature`, a public key's file, they must be in a signed manifest. `metrics` is where Prometheus scrapes, None for
    nowhere; with `metrics_tls` over HTTPS, with a certificate of the fleet. With `announce`, it tells the local network where
    it is. Sensors of power and heat are looked for below `sensors_root`.
    """

    listen: Address
    store: Path
    name: str
    threads: int = 1
    runtime: str = "auto"
    delegates: tuple[Delegate, ...] = ()
    credentials: Credentials | None = None
    max_frame_bytes: int = DEFAULT_MAX_FRAME_BYTES
    drain_timeout_s: float = 30.0
    peer_silence_s: float = SILENCE_S
    max_waiting_frames: int = MAX_WAITING_FRAMES
    max_streams: int = 64
    max_streams_per_address: int = 32
    max_stages: int = 64
    store_reserve_bytes: int = 64 * 2**20
    allow_operators: frozenset[str] = frozenset()
    trial_load: str = "new"
    require_signature: Path | None = None
    metrics: Address | None = None
    metrics_tls: bool = False
    announce: bool = False
    sensors_root: Path = Path("/")

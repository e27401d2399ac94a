"""One short bounded transfer over the data plane: time and processor time per frame of a given size."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import grpc
import grpc.aio
import numpy as np

from fleet.errors import BoardError, BoardUnavailableError, from_wire
from fleet.inventory import Board
from planner.errors import ProbeError
from protos.v1.data_plane_pb2 import Header, Hop, OpenStream
from transport.channel import OPENING_SHARE, PROTOCOL_VERSION, open_channel, raw_stream
from transport.frame import EncodedTensor, pack_frame, unpack_frame
from transport.tensor_codec import encode_tensor

_NS_PER_S = 1e9
# Before anything is counted: connections open their windows, and a rate limiter's bucket runs empty.
_WARM_UP_FRAMES = 3
_WARM_UP_SHARE = 0.25
_SEED = 2026


@dataclass(frozen=True)
class ProbeBudget:
    """Bounds of one transfer: seconds, frames, and how long a board may stay silent."""

    seconds: float = 0.4
    frames: int = 400
    timeout_s: float = 20.0


@dataclass(frozen=True)
class ProbeHop:
    """A board on the way, and the bytes that it sends on for every frame (the last one: back)."""

    board: Board
    sends_bytes: int


@dataclass(frozen=True)
class ProbeResult:
    """Per frame, in the steady state: seconds between replies, and processor seconds of each hop's service."""

    frame_s: float
    cpu_s: tuple[float, ...]
    frames: int


@dataclass(frozen=True)
class _Reply:
    at_s: float
    cpu_ns: tuple[int, ...]


async def probe(
    hops: Sequence[ProbeHop], dispatcher_sends_bytes: int, window: int, *, insecure: bool, budget: ProbeBudget
) -> ProbeResult:
    """Sends frames through the hops, `window` of them in flight, and counts once the transfer is steady.

    Args:
        dispatcher_sends_bytes: incompressible bytes in each frame that leaves this machine.
        window: 1 measures a round trip, more measure a rate.
    Raises: BoardError: a board cannot be reached, or does not take probes. ProbeError: no two replies in time.
    """
    first = hops[0].board
    channel = open_channel(first.address, insecure=insecure)
    call = raw_stream(channel)
    try:
        await _open(call, hops, budget.timeout_s)
        replies = await _exchange(call, _payload(dispatcher_sends_bytes), window, budget)
    except asyncio.TimeoutError:
        raise ProbeError(
            f"no reply within {budget.timeout_s:g} s while the link {_route(hops)} was measured. Is a board overloaded, or the "
            "link too slow for frames of this model?"
        ) from None
    except (grpc.aio.AioRpcError, asyncio.InvalidStateError) as error:
        raise BoardUnavailableError(
            first.name, f"{first.address} broke the stream while the link {_route(hops)} was measured: {error!s:.300}"
        ) from error
    finally:
        call.cancel()
        await channel.close()
    return _evaluate(replies, hops)


async def _open(call: Any, hops: Sequence[ProbeHop], timeout_s: float) -> None:
    opening = OpenStream(
        protocol_version=PROTOCOL_VERSION,
        hops=[
            Hop(board=h.board.name, address=str(h.board.address), stage_index=i, probe_bytes=h.sends_bytes)
            for i, h in enumerate(hops)
        ],
        timeout_s=timeout_s * OPENING_SHARE,
        probe=True,
    )
    await call.write(pack_frame(Header(open=opening)))
    header = _header(await asyncio.wait_for(call.read(), timeout_s), hops[0].board)
    if not header.HasField("opened"):
        raise ProbeError(f"board {hops[0].board.name} answered the opening of a probe with something else.")


async def _exchange(call: Any, payload: list[EncodedTensor], window: int, budget: ProbeBudget) -> list[_Reply]:
    replies: list[_Reply] = []
    stop_s = time.perf_counter() + budget.seconds
    sent = 0
    while len(replies) < budget.frames:
        while sent - len(replies) < window:
            sent += 1
            await call.write(pack_frame(Header(request_id=sent), payload))
        message = await asyncio.wait_for(call.read(), budget.timeout_s)
        now_s = time.perf_counter()
        header = _header(message, None)
        replies.append(_Reply(now_s, tuple(t.service_cpu_ns for t in header.timings)))
        if now_s > stop_s and len(replies) > _WARM_UP_FRAMES + 1:
            break
    return replies


def _header(message: Any, board: Board | None) -> Header:
    if message is grpc.aio.EOF:
        name = board.name if board is not None else "?"
        raise BoardUnavailableError(name, "ended the stream of a probe.")
    header, _ = unpack_frame(message)
    if header.HasField("error"):
        error: BoardError = from_wire(header.error)
        raise error
    return header


def _evaluate(replies: Sequence[_Reply], hops: Sequence[ProbeHop]) -> ProbeResult:
    first = max(_WARM_UP_FRAMES, int(len(replies) * _WARM_UP_SHARE))
    if len(replies) - first < 2:
        raise ProbeError(f"too few replies while the link {_route(hops)} was measured: {len(replies)}.")
    begin, end, frames = replies[first], replies[-1], len(replies) - 1 - first
    cpu_s = tuple((b - a) / _NS_PER_S / frames for a, b in zip(begin.cpu_ns, end.cpu_ns))
    return ProbeResult((end.at_s - begin.at_s) / frames, cpu_s, frames)


def _payload(size_bytes: int) -> list[EncodedTensor]:
    if size_bytes == 0:
        return []
    return [encode_tensor(np.random.default_rng(_SEED).integers(0, 256, size_bytes, np.uint8))]


def _route(hops: Sequence[ProbeHop]) -> str:
    return " -> ".join(["dispatcher", *(h.board.name for h in hops)])

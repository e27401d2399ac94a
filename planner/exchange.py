"""Frames through an open stream of the data plane, and what one of them costs once the transfer is steady."""

from __future__ import annotations

import asyncio
import math
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import grpc
import grpc.aio

from fleet.errors import BoardUnavailableError, from_wire
from fleet.inventory import Board
from planner.errors import ProbeError
from protos.v1.data_plane_pb2 import Header, OpenStream
from transport.channel import OPENING_SHARE, PROTOCOL_VERSION, open_channel, raw_stream
from transport.frame import EncodedTensor, pack_frame, unpack_frame

_NS_PER_S = 1e9
# Before anything is counted: connections open their windows, and a rate limiter's bucket runs empty.
_WARM_UP_FRAMES = 3
_WARM_UP_SHARE = 0.25
# Replies come in bursts: the mean's interval is that of batches of consecutive ones.
_BATCHES = 8
_LEAST_FRAMES_FOR_INTERVAL = 4
_T_95 = {4: 3.18, 5: 2.78, 6: 2.57, 7: 2.45, 8: 2.36}  # batches -> Student's t, two-sided


@dataclass(frozen=True)
class ExchangeBudget:
    """Bounds of one transfer: seconds, frames, and how long a board may stay silent."""

    seconds: float = 0.4
    frames: int = 400
    timeout_s: float = 20.0


@dataclass(frozen=True)
class SteadyState:
    """Per frame: seconds between replies, and processor seconds of each hop's service and of this process.

    Attributes:
        half_width_share: half the 95 % interval of `frame_s`, as a share of it; infinite if too few frames tell.
    """

    frame_s: float
    cpu_s: tuple[float, ...]
    own_cpu_s: float
    frames: int
    half_width_share: float


@dataclass(frozen=True)
class _Reply:
    at_s: float
    cpu_ns: tuple[int, ...]
    own_cpu_s: float


async def exchange(
    boards: Sequence[Board],
    opening: OpenStream,
    payload: Sequence[EncodedTensor],
    window: int,
    *,
    insecure: bool,
    budget: ExchangeBudget,
) -> SteadyState:
    """Sends the same frame again and again, `window` of them in flight, and counts once the transfer is steady.

    Args:
        boards: those of the opening's hops, in order.
        opening: deployment or probe, and hops; version and time-out are filled in.
        window: 1 measures a round trip, more measure a rate.
    Raises: BoardError: a board cannot be reached, or refuses. ProbeError: no two replies in time.
    """
    first = boards[0]
    channel = open_channel(first.address, insecure=insecure)
    call = raw_stream(channel)
    try:
        await _open(call, first, opening, budget.timeout_s)
        replies = await _run(call, first, list(payload), window, budget)
    except asyncio.TimeoutError:
        raise ProbeError(
            f"no reply within {budget.timeout_s:g} s while {_route(boards)} was measured. Is a board overloaded, or the link "
            "too slow for frames of this model?"
        ) from None
    except (grpc.aio.AioRpcError, asyncio.InvalidStateError) as error:
        raise BoardUnavailableError(
            first.name, f"{first.address} broke the stream while {_route(boards)} was measured: {_details(error)}"
        ) from error
    finally:
        call.cancel()
        await channel.close()
    return _evaluate(replies, boards)


async def _open(call: Any, first: Board, opening: OpenStream, timeout_s: float) -> None:
    opening.protocol_version = PROTOCOL_VERSION
    opening.timeout_s = timeout_s * OPENING_SHARE
    # The first message waits for the connection, which a board that is frozen or switched off leaves open for 20 s.
    await asyncio.wait_for(call.write(pack_frame(Header(open=opening))), timeout_s)
    header = _header(await asyncio.wait_for(call.read(), timeout_s), first)
    if not header.HasField("opened"):
        raise ProbeError(f"board {first.name} answered the opening of a stream with something else.")


async def _run(
    call: Any, first: Board, payload: Sequence[EncodedTensor], window: int, budget: ExchangeBudget
) -> list[_Reply]:
    replies: list[_Reply] = []
    stop_s = time.perf_counter() + budget.seconds
    sent = 0
    while len(replies) < budget.frames:
        while sent - len(replies) < window:
            sent += 1
            await call.write(pack_frame(Header(request_id=sent), payload))
        message = await asyncio.wait_for(call.read(), budget.timeout_s)
        now_s = time.perf_counter()
        cpu_ns = tuple(t.service_cpu_ns for t in _header(message, first).timings)
        replies.append(_Reply(now_s, cpu_ns, time.process_time()))
        if now_s > stop_s and len(replies) > _WARM_UP_FRAMES + 1:
            break
    return replies


def _header(message: Any, first: Board) -> Header:
    if message is grpc.aio.EOF:
        raise BoardUnavailableError(first.name, "ended the stream while it was measured.")
    header, _ = unpack_frame(message)
    if header.HasField("error"):
        raise from_wire(header.error)
    return header


def _evaluate(replies: Sequence[_Reply], boards: Sequence[Board]) -> SteadyState:
    first = max(_WARM_UP_FRAMES, int(len(replies) * _WARM_UP_SHARE))
    if len(replies) - first < 2:
        raise ProbeError(f"too few replies while {_route(boards)} was measured: {len(replies)}.")
    begin, end, frames = replies[first], replies[-1], len(replies) - 1 - first
    cpu_s = tuple((b - a) / _NS_PER_S / frames for a, b in zip(begin.cpu_ns, end.cpu_ns))
    own_cpu_s = (end.own_cpu_s - begin.own_cpu_s) / frames
    half_width_share = _half_width_share([reply.at_s for reply in replies[first:]])
    return SteadyState((end.at_s - begin.at_s) / frames, cpu_s, own_cpu_s, frames, half_width_share)


def _half_width_share(at_s: Sequence[float]) -> float:
    """Half the 95 % interval of the mean time between replies, as a share of it, from the means of equal batches.

    Frames before the first full batch are left out: they are the least steady ones.
    """
    frames = len(at_s) - 1
    if frames < _LEAST_FRAMES_FOR_INTERVAL:
        return math.inf
    n_batches = min(_BATCHES, frames)
    size = frames // n_batches
    ends_s = at_s[frames - n_batches * size :: size]
    batches_s = [after - before for before, after in zip(ends_s, ends_s[1:])]
    mean_s = statistics.fmean(batches_s)
    if mean_s <= 0:
        return math.inf
    return _T_95[n_batches] * statistics.stdev(batches_s) / math.sqrt(n_batches) / mean_s


def _details(error: Exception) -> str:
    return error.details() or error.code().name if isinstance(error, grpc.aio.AioRpcError) else str(error)


def _route(boards: Sequence[Board]) -> str:
    return " -> ".join(["dispatcher", *(board.name for board in boards)])

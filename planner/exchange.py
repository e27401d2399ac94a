"""Frames through an open stream of the data plane, and what one of them costs once the transfer is steady."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import math
import os
import socket
import statistics
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from fleet.errors import BoardUnavailableError, from_wire
from fleet.inventory import Board
from planner.errors import ProbeError
from protos.v1.data_plane_pb2 import Header, OpenStream
from transport.address import Address
from transport.channel import (
    DATA_PLANE_STREAM,
    DEFAULT_MAX_FRAME_BYTES,
    HEADER_ROOM_BYTES,
    OPENING_SHARE,
    PROTOCOL_VERSION,
)
from transport.credentials import Credentials
from transport.errors import ConnectError, StreamBrokenError
from transport.frame import EncodedTensor, frame_parts, unpack_frame
from transport.message_stream import MessageStream, StreamLimits, TlsSession, connect_securely

_T = TypeVar("_T")
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
        invoke_cpu_s: of the processor seconds, those inside each hop's runtime; 0 for a hop that only relays.
        half_width_share: half the 95 % interval of `frame_s`, as a share of it; infinite if too few frames tell.
        median_s: seconds between replies; one disturbed frame does not change it.
    """

    frame_s: float
    cpu_s: tuple[float, ...]
    invoke_cpu_s: tuple[float, ...]
    own_cpu_s: float
    frames: int
    half_width_share: float
    median_s: float


@dataclass(frozen=True)
class _Reply:
    at_s: float
    cpu_ns: tuple[int, ...]
    invoke_cpu_ns: tuple[int, ...]
    own_cpu_s: float


async def exchange(
    boards: Sequence[Board],
    opening: OpenStream,
    payload: Sequence[EncodedTensor],
    window: int,
    *,
    credentials: Credentials | None,
    budget: ExchangeBudget,
) -> SteadyState:
    """Sends the same frame again and again, `window` of them in flight, and counts once the transfer is steady.

    Args:
        boards: those of the opening's hops, in order.
        opening: deployment or probe, and hops; version and time-out are filled in.
        window: 1 measures a round trip, more measure a rate.
    Raises: BoardError: a board cannot be reached, or refuses. ProbeError: no two replies in time.
    """
    address = boards[0].address.data_plane
    sock = await _connect(boards[0], address, budget.timeout_s)
    limits = StreamLimits(DEFAULT_MAX_FRAME_BYTES + HEADER_ROOM_BYTES)
    try:
        tls = await _in_thread(
            lambda: _shake_hands(sock, boards[0], address, credentials, budget.timeout_s),
            wake=lambda: _shut_down(sock),
        )
        stream = MessageStream.request(sock, address, DATA_PLANE_STREAM, limits, tls)
    except BaseException:
        sock.close()
        raise
    try:
        return await _in_thread(
            lambda: _exchange(stream, boards, opening, list(payload), window, budget), wake=stream.abort
        )
    finally:
        stream.close()


async def _in_thread(work: Callable[[], _T], wake: Callable[[], None]) -> _T:
    """What the work returns; a wait that is interrupted leaves no thread at work, which `wake` has return."""
    thread = asyncio.ensure_future(asyncio.to_thread(work))
    try:
        return await asyncio.shield(thread)
    except asyncio.CancelledError:
        wake()
        await asyncio.gather(thread, return_exceptions=True)
        raise


def _shut_down(sock: socket.socket) -> None:
    with contextlib.suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)


def _shake_hands(
    sock: socket.socket, first: Board, address: Address, credentials: Credentials | None, timeout_s: float
) -> TlsSession | None:
    try:
        return connect_securely(sock, address, credentials, first.certificate_name, timeout_s)
    except ConnectError as error:
        raise BoardUnavailableError(first.name, f"{error}.") from error


async def _connect(first: Board, address: Address, timeout_s: float) -> socket.socket:
    """A blocking socket; made by the event loop, since nobody could wake a thread that connects. Raises: BoardUnavailableError."""
    try:
        return await asyncio.wait_for(_connect_to_any(address), timeout_s)
    except asyncio.TimeoutError:
        reason = f"no connection within {timeout_s:.2g} s"
    except (socket.gaierror, UnicodeError) as error:  # a name that is none in the internet is a UnicodeError
        reason = getattr(error, "strerror", None) or str(error)
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)  # asyncio has words of its own for it
    raise BoardUnavailableError(first.name, f"{address} cannot be reached: {reason}.")


async def _connect_to_any(address: Address) -> socket.socket:
    loop, errors = asyncio.get_running_loop(), []
    for family, kind, protocol, _, place in await loop.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM):
        sock = socket.socket(family, kind, protocol)
        sock.setblocking(False)
        try:
            await loop.sock_connect(sock, place)
        except BaseException as error:
            sock.close()
            if not isinstance(error, OSError):
                raise
            errors.append(error)
            continue
        sock.setblocking(True)
        return sock
    raise errors[0]


def _exchange(
    stream: MessageStream,
    boards: Sequence[Board],
    opening: OpenStream,
    payload: Sequence[EncodedTensor],
    window: int,
    budget: ExchangeBudget,
) -> SteadyState:
    first = boards[0]
    try:
        _open(stream, first, opening, budget.timeout_s)
        return _evaluate(_run(stream, first, payload, window, budget), boards)
    except TimeoutError:
        raise ProbeError(
            f"no reply within {budget.timeout_s:g} s while {_route(boards)} was measured. Is a board overloaded, or the link "
            "too slow for frames of this model?"
        ) from None
    except StreamBrokenError as error:
        raise BoardUnavailableError(
            first.name, f"{first.address} broke the stream while {_route(boards)} was measured: {error}"
        ) from error


def _open(stream: MessageStream, first: Board, opening: OpenStream, timeout_s: float) -> None:
    opening.protocol_version = PROTOCOL_VERSION
    opening.timeout_s = timeout_s * OPENING_SHARE
    stream.post(frame_parts(Header(open=opening)), timeout_s)
    if not _header(stream.receive(timeout_s), first).HasField("opened"):
        raise ProbeError(f"board {first.name} answered the opening of a stream with something else.")


def _run(
    stream: MessageStream,
    first: Board,
    payload: Sequence[EncodedTensor],
    window: int,
    budget: ExchangeBudget,
) -> list[_Reply]:
    replies: list[_Reply] = []
    stop_s = time.perf_counter() + budget.seconds
    room = threading.Semaphore(window)
    sender = threading.Thread(target=_send, args=(stream, payload, room), name="boardline-exchange", daemon=True)
    sender.start()
    try:
        _receive(stream, first, budget, stop_s, room, replies)
    finally:
        stream.abort()
        room.release()
        sender.join()
    return replies


def _send(stream: MessageStream, payload: Sequence[EncodedTensor], room: threading.Semaphore) -> None:
    """Frames, while there is room in the window; on a thread of its own, since sending waits for what receiving brings."""
    with contextlib.suppress(StreamBrokenError):  # who receives hears of it
        for request_id in itertools.count(1):
            room.acquire()
            stream.send(frame_parts(Header(request_id=request_id), payload))


def _receive(
    stream: MessageStream,
    first: Board,
    budget: ExchangeBudget,
    stop_s: float,
    room: threading.Semaphore,
    replies: list[_Reply],
) -> None:
    while len(replies) < budget.frames:
        message = stream.receive(budget.timeout_s)
        now_s = time.perf_counter()
        timings = _header(message, first).timings
        cpu_ns, invoke_cpu_ns = tuple(t.service_cpu_ns for t in timings), tuple(t.invoke_cpu_ns for t in timings)
        replies.append(_Reply(now_s, cpu_ns, invoke_cpu_ns, time.process_time()))
        room.release()
        if now_s > stop_s and len(replies) > _WARM_UP_FRAMES + 1:
            break


def _header(message: memoryview | None, first: Board) -> Header:
    if message is None:
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
    invoke_cpu_s = tuple(
        statistics.fmean(ns) / _NS_PER_S for ns in zip(*(r.invoke_cpu_ns for r in replies[first + 1 :]))
    )
    own_cpu_s = (end.own_cpu_s - begin.own_cpu_s) / frames
    at_s = [reply.at_s for reply in replies[first:]]
    half_width_share = _half_width_share(at_s)
    median_s = statistics.median(after - before for before, after in zip(at_s, at_s[1:]))
    frame_s = (end.at_s - begin.at_s) / frames
    return SteadyState(frame_s, cpu_s, invoke_cpu_s, own_cpu_s, frames, half_width_share, median_s)


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


def _route(boards: Sequence[Board]) -> str:
    return " -> ".join(["dispatcher", *(board.name for board in boards)])

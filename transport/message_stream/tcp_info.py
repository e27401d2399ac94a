"""What the system knows of a connection: how busy it was, and what the other side has taken (struct tcp_info of Linux)."""

from __future__ import annotations

import fcntl
import socket
import struct
from dataclasses import dataclass

_INFO_BYTES = 256
# Offsets in struct tcp_info, <linux/tcp.h>; the fields come at its end, older systems give less of it.
_RECEIVE_THRESHOLD = 64  # u32
_BYTES_ACKED = 120  # u64, Linux 4.1
_BYTES_RECEIVED = 128  # u64, Linux 4.1
_BUSY_US = 168  # u64, Linux 4.10: time with data that the other side has not acknowledged
_RECEIVER_LIMITED_US = 176  # u64: of that, time in which its receive window was full
_US = 1e-6
_SIOCOUTQ = 0x5411  # <linux/sockios.h>: bytes that the other side has not acknowledged, those not yet sent included


@dataclass(frozen=True)
class LinkUsage:
    """Running totals of one direction of a connection.

    Attributes:
        busy_s: seconds in which bytes were on their way, but for those in which the receiver took none.
    """

    acked_bytes: int
    busy_s: float


def acked_bytes(sock: socket.socket) -> int:
    """Bytes that the other side's system has taken; 0 where the system does not say."""
    return _read(_info(sock), _BYTES_ACKED) or 0


def given_bytes(sock: socket.socket) -> int | None:
    """What `acked_bytes` will be once the other side has all that the system was given until now, or a little more.

    None where the system does not say.
    """
    try:
        (queued_bytes,) = struct.unpack("i", fcntl.ioctl(sock, _SIOCOUTQ, bytes(4)))
    except (OSError, ValueError):  # closed meanwhile, or another system
        return None
    # Acknowledgements between the two count twice: too much rather than too little.
    acked = _read(_info(sock), _BYTES_ACKED)
    return None if acked is None else acked + queued_bytes


def received_bytes(sock: socket.socket) -> int | None:
    """Bytes that the other side has sent, read or not; None where the system does not say."""
    return _read(_info(sock), _BYTES_RECEIVED)


def receive_window_bytes(sock: socket.socket) -> int:
    """The most that the other side may send before any of it is read; 0 where the system does not say."""
    info = _info(sock)
    return int(struct.unpack_from("I", info, _RECEIVE_THRESHOLD)[0]) if len(info) >= _RECEIVE_THRESHOLD + 4 else 0


def link_usage(sock: socket.socket) -> LinkUsage | None:
    """The totals so far, for two microseconds; None where the system does not keep them (before Linux 4.10)."""
    info = _info(sock)
    acked, busy_us = _read(info, _BYTES_ACKED), _read(info, _BUSY_US)
    receiver_us = _read(info, _RECEIVER_LIMITED_US)
    if acked is None or busy_us is None or receiver_us is None:
        return None
    return LinkUsage(acked, max(0, busy_us - receiver_us) * _US)


def _info(sock: socket.socket) -> bytes:
    try:
        return sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _INFO_BYTES)
    except OSError:  # closed meanwhile
        return b""


def _read(info: bytes, offset: int) -> int | None:
    return int(struct.unpack_from("Q", info, offset)[0]) if len(info) >= offset + 8 else None

"""TLS between a stream and its socket: seals what is sent, opens what has come; the socket stays a blocking one.

Python's SSLSocket is not for two threads: OpenSSL's state is one for both directions, so who reads would keep the one that
writes out for as long as nothing comes. Here the state sees memory only, and whoever waits for the socket does not hold it.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
import time
from collections.abc import Sequence

from transport.credentials import Credentials, Identity
from transport.errors import StreamBrokenError, UntrustedPeerError
from transport.frame import BytesLike

# Read from the socket in one go; more than that stays in the system's buffers. Measured: smaller ones cost calls, larger
# ones fall out of the cache before they are opened.
_READ_BYTES = 2**18
# Small parts are put together: each call makes a record of its own, with 22 bytes and a fixed cost.
_SMALL_BYTES = 2**13
_MOST_RECORD_BYTES = 2**14 + 2**8 + 5
_LINGER_S = 1.0


class TlsSession:
    """One connection's TLS, after its handshake. `seal` is for one thread at a time, `recv_into` for another one."""

    def __init__(
        self, sock: socket.socket, state: ssl.SSLObject, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO
    ) -> None:
        self._socket = sock
        self._state = state
        self._incoming = incoming
        self._outgoing = outgoing
        self._lock = threading.Lock()  # of the state; nobody waits for the network while holding it
        self._sealed = memoryview(bytearray(_READ_BYTES))
        self.peer = Identity.of(state.getpeercert() or {})

    @classmethod
    def connect(cls, sock: socket.socket, credentials: Credentials, name: str, timeout_s: float) -> TlsSession:
        """A client's end. Args: name: what the peer's certificate must be valid for: a board's name, or an address.

        Raises: UntrustedPeerError: it is another one, of another fleet, or no peer of ours. TimeoutError.
        """
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        try:
            state = credentials.client.wrap_bio(incoming, outgoing, server_hostname=name)
        except ValueError as error:  # a name that no certificate can have
            raise UntrustedPeerError(f"{name!r} is no name for a certificate: {error}") from error
        return cls._shaken(sock, state, incoming, outgoing, timeout_s)

    @classmethod
    def accept(cls, sock: socket.socket, credentials: Credentials, timeout_s: float) -> TlsSession:
        """A server's end. Raises: UntrustedPeerError: a client without a certificate of the fleet. TimeoutError."""
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        state = credentials.server.wrap_bio(incoming, outgoing, server_side=True)
        return cls._shaken(sock, state, incoming, outgoing, timeout_s)

    @classmethod
    def _shaken(
        cls,
        sock: socket.socket,
        state: ssl.SSLObject,
        incoming: ssl.MemoryBIO,
        outgoing: ssl.MemoryBIO,
        timeout_s: float,
    ) -> TlsSession:
        try:
            _shake_hands(sock, state, incoming, outgoing, time.monotonic() + timeout_s)
        except ssl.SSLError as error:
            _tell(sock, outgoing)
            raise UntrustedPeerError(_why(error)) from error
        except socket.timeout as error:  # Python 3.9 has a class of its own for it
            raise TimeoutError from error
        sock.settimeout(None)
        return cls(sock, state, incoming, outgoing)

    def seal(self, buffers: Sequence[BytesLike]) -> list[BytesLike]:
        """The bytes to be written for these, which may change afterwards. They must be written in the order of the calls."""
        if not buffers:
            return []
        with self._lock:
            for part in _joined(buffers):
                view = memoryview(part).cast("B")
                while len(view):
                    view = view[self._state.write(view) :]
            return [self._outgoing.read()]

    def recv_into(self, target: memoryview, _n_bytes: int, flags: int) -> int:
        """As a socket's: fills `target` with what there is; with MSG_WAITALL waits for all of it. 0 at the end.

        Raises: StreamBrokenError: bytes were changed on their way, or the peer says why it ends. OSError: the connection broke;
            BlockingIOError: the socket's time is over.
        """
        filled = self._opened(target)
        while not filled or (flags & socket.MSG_WAITALL and filled < len(target)):
            # As many bytes come as are missing, but for a record that has come in part.
            certain = len(target) - filled - _MOST_RECORD_BYTES if flags & socket.MSG_WAITALL else 0
            try:
                if certain > 0:
                    got = self._socket.recv_into(self._sealed, min(certain, _READ_BYTES), socket.MSG_WAITALL)
                else:
                    got = self._socket.recv_into(self._sealed, _READ_BYTES)
            except BlockingIOError:
                if filled:
                    return filled
                raise
            if not got:
                return filled
            with self._lock:
                self._incoming.write(self._sealed[:got])
            filled += self._opened(target[filled:])
        return filled

    def _opened(self, target: memoryview) -> int:
        """What has come and is complete, as much as fits."""
        filled = 0
        with self._lock:
            while filled < len(target):
                try:
                    got = self._state.read(len(target) - filled, target[filled:])
                except ssl.SSLWantReadError:
                    break
                except ssl.SSLZeroReturnError:  # it says that no more comes; the socket says so, too
                    break
                except ssl.SSLError as error:
                    raise StreamBrokenError(_why(error)) from error
                if not got:
                    break
                filled += int(got)
        return filled


def _shake_hands(
    sock: socket.socket, state: ssl.SSLObject, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO, stop_s: float
) -> None:
    while True:
        try:
            state.do_handshake()
            is_done = True
        except ssl.SSLWantReadError:
            is_done = False
        left_s = stop_s - time.monotonic()
        if left_s <= 0:
            raise TimeoutError
        sock.settimeout(left_s)
        if outgoing.pending:
            sock.sendall(outgoing.read())
        if is_done:
            return
        received = sock.recv(2**14)
        if not received:
            incoming.write_eof()
        else:
            incoming.write(received)


def _tell(sock: socket.socket, outgoing: ssl.MemoryBIO) -> None:
    """Sends the alert that says why; a close with bytes unread would take it back."""
    with contextlib.suppress(OSError):
        sock.settimeout(_LINGER_S)
        sock.sendall(outgoing.read())
        sock.shutdown(socket.SHUT_WR)
        stop_s = time.monotonic() + _LINGER_S
        while time.monotonic() < stop_s and sock.recv(2**14):
            pass


def _why(error: ssl.SSLError) -> str:
    """A clause that says what is wrong with the peer, in words for who runs it."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not accepted: {error.verify_message}"
    if isinstance(error, ssl.SSLEOFError):
        return "it closed the connection during the TLS handshake: it speaks plaintext, or does not accept this end's certificate"
    reason = (error.reason or str(error)).lower().replace("_", " ")
    if "alert" in reason:
        return f"it does not accept this end's certificate: {reason}"
    if reason in ("wrong version number", "http request", "unknown protocol"):
        return "it does not speak TLS"
    return f"the TLS handshake failed: {reason}"


def _joined(buffers: Sequence[BytesLike]) -> list[BytesLike]:
    """The same bytes, with small neighbours put together."""
    joined: list[BytesLike] = []
    small: list[BytesLike] = []
    for part in buffers:
        if len(part) <= _SMALL_BYTES:
            small.append(part)
            continue
        if small:
            joined.append(b"".join(small))
            small = []
        joined.append(part)
    if small:
        joined.append(b"".join(small))
    return joined

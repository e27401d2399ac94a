"""Connections: out to a peer, and in from peers, a thread for each."""

from __future__ import annotations

import contextlib
import logging
import socket
import threading
from collections.abc import Callable

from transport.address import Address, require_plaintext_allowed
from transport.errors import ConnectError, StreamBrokenError
from transport.message_stream.stream import MessageStream, StreamLimits

_log = logging.getLogger(__name__)
_REQUEST_TIMEOUT_S = 10.0
_BACKLOG = 128
# gRPC status codes.
_RESOURCE_EXHAUSTED, _UNIMPLEMENTED = 8, 12


def open_stream(
    address: Address, path: str, limits: StreamLimits, *, insecure: bool, timeout_s: float
) -> MessageStream:
    """Connects, and opens the stream.

    Raises: PlaintextRefusedError: off loopback without `insecure`. ConnectError: nobody answers there.
    """
    require_plaintext_allowed(address, insecure)
    try:
        sock = socket.create_connection((address.host, address.port), timeout_s)
    except OSError as error:
        reason = f"no connection within {timeout_s:.2g} s" if isinstance(error, TimeoutError) else error.strerror
        raise ConnectError(f"{address} cannot be reached: {reason or error}") from error
    sock.settimeout(None)
    return MessageStream.request(sock, address, path, limits)


class StreamListener:
    """Serves streams of one path; each runs on a thread of its own until its handler returns."""

    def __init__(
        self,
        listen: Address,
        path: str,
        handler: Callable[[MessageStream], None],
        limits: StreamLimits,
        max_connections: int = 64,
    ) -> None:
        """Listens, and accepts once `start` is called. Raises: OSError: the address cannot be listened on."""
        family = socket.AF_INET6 if ":" in listen.host else socket.AF_INET
        self._listening = socket.create_server((listen.host, listen.port), family=family, backlog=_BACKLOG)
        self.address = Address(listen.host, self._listening.getsockname()[1])
        self._path = path
        self._handler = handler
        self._limits = limits
        self._max_connections = max_connections
        self._lock = threading.Lock()
        self._threads: set[threading.Thread] = set()
        self._sockets: set[socket.socket] = set()
        self._accepting = threading.Thread(target=self._accept, name="boardline-accept", daemon=True)

    def start(self) -> None:
        """Accepts connections."""
        self._accepting.start()

    def stop(self) -> None:
        """Accepts no more; streams that are open go on."""
        with contextlib.suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)  # wakes the thread, which a close alone would not
        self._listening.close()

    def join(self, timeout_s: float) -> bool:
        """Waits until every stream has ended; whether they have."""
        with self._lock:
            threads = list(self._threads)
        for thread in threads:
            thread.join(timeout_s)
        return not any(thread.is_alive() for thread in threads)

    def abort(self) -> None:
        """Cuts every connection."""
        with self._lock:
            sockets = list(self._sockets)
        for sock in sockets:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listening.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._serve, args=(sock,), name="boardline-stream", daemon=True)
            with self._lock:
                crowded = len(self._threads) >= self._max_connections
                if not crowded:
                    self._threads.add(thread)
                    self._sockets.add(sock)
            if crowded:
                _log.warning("a connection is refused: %d are open, which is the limit", self._max_connections)
                sock.close()
            else:
                thread.start()

    def _serve(self, sock: socket.socket) -> None:
        stream = None
        try:
            stream, path = MessageStream.accept(sock, self._limits, _REQUEST_TIMEOUT_S)
            if path == self._path:
                stream.answer()
                self._handler(stream)
            else:
                stream.refuse(_UNIMPLEMENTED, f"no such method here: {path}")
                stream.wait_for_end()
        except StreamBrokenError as error:
            _log.debug("a connection ended: %s", error)
        except Exception:
            _log.exception("a stream ended by a defect")
        finally:
            if stream is not None:
                stream.close()
            sock.close()
            with self._lock:
                self._threads.discard(threading.current_thread())
                self._sockets.discard(sock)

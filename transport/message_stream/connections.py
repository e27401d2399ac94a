"""Connections: out to a peer, and in from peers, a thread for each."""

from __future__ import annotations

import contextlib
import logging
import socket
import threading
import time
from collections.abc import Callable

from transport.address import Address, require_plaintext_allowed
from transport.errors import ConnectError, StreamBrokenError
from transport.message_stream.stream import MessageStream, StreamLimits

_log = logging.getLogger(__name__)
_REQUEST_TIMEOUT_S = 10.0
# Of the silence, for a connection: the system, which makes it, tries again after a second if the first packet was lost.
_CONNECT_SHARE = 2.0
_BACKLOG = 128
# Out of descriptors or memory: others may give some back.
_PAUSE_S = 0.2
# gRPC status codes.
_RESOURCE_EXHAUSTED, _UNIMPLEMENTED = 8, 12


def open_stream(
    address: Address, path: str, limits: StreamLimits, *, insecure: bool, timeout_s: float
) -> MessageStream:
    """Connects, and opens the stream.

    Raises: PlaintextRefusedError: off loopback without `insecure`. ConnectError: nobody answers there.
    """
    require_plaintext_allowed(address, insecure)
    timeout_s = min(timeout_s, _CONNECT_SHARE * limits.silence_s)
    try:
        sock = socket.create_connection((address.host, address.port), timeout_s)
    except (OSError, UnicodeError) as error:  # a name that is none in the internet is a UnicodeError
        reason = getattr(error, "strerror", None)
        if isinstance(error, TimeoutError):
            reason = f"no connection within {timeout_s:.2g} s"
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
        both = family == socket.AF_INET6 and socket.has_dualstack_ipv6()  # [::] takes IPv4, too, as gRPC's servers do
        self._listening = socket.create_server(
            (listen.host, listen.port), family=family, backlog=_BACKLOG, dualstack_ipv6=both
        )
        self.address = Address(listen.host, self._listening.getsockname()[1])
        self._path = path
        self._handler = handler
        self._limits = limits
        self._max_connections = max_connections
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._threads: set[threading.Thread] = set()
        self._sockets: set[socket.socket] = set()
        self._accepting = threading.Thread(target=self._accept, name="boardline-accept", daemon=True)

    def start(self) -> None:
        """Accepts connections."""
        self._accepting.start()

    def stop(self) -> None:
        """Accepts no more; streams that are open go on."""
        self._stopped.set()
        with contextlib.suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)  # wakes the thread, which a close alone would not
        if self._accepting.is_alive():
            self._accepting.join()
        self._listening.close()

    def join(self, timeout_s: float) -> bool:
        """Waits until every stream has ended; whether they have."""
        deadline_s = time.monotonic() + timeout_s
        with self._lock:
            threads = list(self._threads)
        for thread in threads:
            thread.join(max(0.0, deadline_s - time.monotonic()))
        return not any(thread.is_alive() for thread in threads)

    def abort(self) -> None:
        """Cuts every connection."""
        with self._lock:
            sockets = list(self._sockets)
        for sock in sockets:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        while not self._stopped.is_set():
            try:
                sock, _ = self._listening.accept()
            except OSError as error:
                if not self._stopped.is_set():
                    _log.warning("a connection cannot be accepted: %s", error.strerror)
                self._stopped.wait(_PAUSE_S)
                continue
            if not self._begin(sock):
                sock.close()

    def _begin(self, sock: socket.socket) -> bool:
        """Whether the connection is served."""
        thread = threading.Thread(target=self._serve, args=(sock,), name="boardline-stream", daemon=True)
        with self._lock:
            if len(self._threads) >= self._max_connections:
                _log.warning("a connection is refused: %d are open, which is the limit", self._max_connections)
                return False
            try:
                thread.start()
            except RuntimeError as error:
                _log.warning("a connection is refused: %s", error)
                return False
            self._threads.add(thread)
            self._sockets.add(sock)
        return True

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
            with self._lock:
                self._sockets.discard(sock)  # what it was is closed now, and nobody may shut what gets its number next
            if stream is not None:
                stream.close()
            sock.close()
            with self._lock:
                self._threads.discard(threading.current_thread())

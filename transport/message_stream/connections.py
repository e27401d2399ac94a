"""Connections: out to a peer, and in from peers, a thread for each."""

from __future__ import annotations

import contextlib
import logging
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from transport.address import Address
from transport.credentials import Credentials, Right
from transport.errors import ConnectError, NoRoomError, StreamBrokenError, UntrustedPeerError
from transport.message_stream import tcp_info
from transport.message_stream.admission import Admission, ListenerLimits, origin_of
from transport.message_stream.stream import MessageStream, StreamLimits
from transport.message_stream.tls import TlsSession

_log = logging.getLogger(__name__)
_REQUEST_TIMEOUT_S = 10.0
# Of the silence, for a connection: the system, which makes it, tries again after a second if the first packet was lost.
_CONNECT_SHARE = 2.0
# The least that a peer has for its handshake, as for its first words on the control plane: a slow board is busy with it for longer
# than with a ping.
_HANDSHAKE_S = 1.5
_BACKLOG = 128
# A connection that is cut wakes its thread, which then has little to do.
_CUT_TIMEOUT_S = 1.0
# Who is refused may come again at once: the log is not theirs to fill.
_LOG_INTERVAL_S = 1.0
# Out of descriptors or memory: others may give some back.
_PAUSE_S = 0.2
# gRPC status codes.
_PERMISSION_DENIED, _RESOURCE_EXHAUSTED, _UNIMPLEMENTED = 7, 8, 12


def open_stream(
    address: Address,
    path: str,
    limits: StreamLimits,
    *,
    credentials: Credentials | None,
    name: str,
    timeout_s: float,
) -> MessageStream:
    """Connects, and opens the stream.

    Args:
        credentials: None for plaintext, which somebody asked for by name.
        name: what the peer's certificate must be valid for.
    Raises: ConnectError: nobody answers there; UntrustedPeerError: who does is another one.
    """
    handshake_s = min(timeout_s, max(_HANDSHAKE_S, limits.silence_s))
    timeout_s = min(timeout_s, _CONNECT_SHARE * limits.silence_s)
    try:
        sock = socket.create_connection((address.host, address.port), timeout_s)
    except (OSError, UnicodeError) as error:  # a name that is none in the internet is a UnicodeError
        reason = getattr(error, "strerror", None)
        if isinstance(error, TimeoutError):
            reason = f"no connection within {timeout_s:.2g} s"
        raise ConnectError(f"{address} cannot be reached: {reason or error}") from error
    tls = connect_securely(sock, address, credentials, name, handshake_s)
    return MessageStream.request(sock, address, path, limits, tls)


def connect_securely(
    sock: socket.socket, address: Address, credentials: Credentials | None, name: str, timeout_s: float
) -> TlsSession | None:
    """Shakes hands on a connected socket, which is a blocking one afterwards; None where plaintext was asked for.

    Raises: UntrustedPeerError, ConnectError; the socket is closed then.
    """
    try:
        if credentials is not None:
            return TlsSession.connect(sock, credentials, name, timeout_s)
        sock.settimeout(None)
        return None
    except UntrustedPeerError as error:
        sock.close()
        raise UntrustedPeerError(f"{address} is not trusted as {name}: {error}") from error
    except TimeoutError:
        sock.close()
        raise ConnectError(f"{address} did not finish the TLS handshake within {timeout_s:.2g} s") from None
    except OSError as error:
        sock.close()
        raise ConnectError(f"{address} broke the TLS handshake: {error.strerror or error}") from error
    except BaseException:
        sock.close()
        raise


@dataclass(eq=False)
class _Connection:
    socket: socket.socket = field(repr=False)
    origin: str
    thread: threading.Thread | None = None

    @property
    def has_spoken(self) -> bool:
        """Whether anything has come from it, read or not; True where the system does not say."""
        return tcp_info.received_bytes(self.socket) != 0

    def cut(self) -> None:
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)


class StreamListener:
    """Serves streams of one path; each runs on a thread of its own until its handler returns."""

    def __init__(
        self,
        listen: Address,
        path: str,
        handler: Callable[[MessageStream], None],
        limits: StreamLimits,
        credentials: Credentials | None,
        connections: ListenerLimits = ListenerLimits(),  # noqa: B008 - frozen
    ) -> None:
        """Listens, and accepts once `start` is called.

        With `limits.max_opening_bytes`, a connection counts as a stream once the handler has called `establish`; without, from
        its request on.
        Args: credentials: None for plaintext; with them, peers need a certificate of the same authority that has Right.STREAM.
        Raises: OSError: the address cannot be listened on.
        """
        family = socket.AF_INET6 if ":" in listen.host else socket.AF_INET
        both = family == socket.AF_INET6 and socket.has_dualstack_ipv6()  # [::] takes IPv4, too, as gRPC's servers do
        self._listening = socket.create_server(
            (listen.host, listen.port), family=family, backlog=_BACKLOG, dualstack_ipv6=both
        )
        self.address = Address(listen.host, self._listening.getsockname()[1])
        self._path = path
        self._handler = handler
        self._limits = limits
        self._credentials = credentials
        # A new connection's thread may take a moment longer than its place.
        self._max_threads = connections.max_streams + 2 * connections.max_new
        self._admission: Admission[_Connection] = Admission(connections)
        self._told_s = -_LOG_INTERVAL_S
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._threads: set[threading.Thread] = set()
        self._connections: set[_Connection] = set()
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
            for connection in self._connections:
                connection.cut()

    def _accept(self) -> None:
        while not self._stopped.is_set():
            try:
                sock, peer = self._listening.accept()
            except OSError as error:
                if not self._stopped.is_set():
                    _log.warning("a connection cannot be accepted: %s", error.strerror)
                self._stopped.wait(_PAUSE_S)
                continue
            try:
                self._begin(_Connection(sock, origin_of(peer[0])))
            except (NoRoomError, RuntimeError) as error:
                self._tell(error)
                sock.close()

    def _begin(self, connection: _Connection) -> None:
        """Serves it. Raises: NoRoomError. RuntimeError: the system gives no thread."""
        with self._lock:
            victim = self._admission.arrive(connection)
            if victim is not None:
                self._cut(victim)
        if victim is not None and victim.thread is not None:
            victim.thread.join(_CUT_TIMEOUT_S)
        thread = threading.Thread(target=self._serve, args=(connection,), name="boardline-stream", daemon=True)
        connection.thread = thread
        with self._lock:
            try:
                if len(self._threads) >= self._max_threads:
                    raise NoRoomError(f"{len(self._threads)} connections are still being ended.")
                thread.start()
            except (NoRoomError, RuntimeError):
                self._admission.leave(connection)
                raise
            self._threads.add(thread)
            self._connections.add(connection)

    def _cut(self, victim: _Connection) -> None:
        """The lock is held: a connection that has ended by itself is in the set no more, and its number may be another's."""
        if victim in self._connections:
            victim.cut()

    def _tell(self, why: object) -> None:
        now_s = time.monotonic()
        if now_s - self._told_s >= _LOG_INTERVAL_S:
            self._told_s = now_s
            _log.warning("a connection is refused: %s", why)

    def _admit(self, connection: _Connection) -> None:
        with self._lock:
            self._admission.admit(connection)

    def _serve(self, connection: _Connection) -> None:
        stream = None
        sock = connection.socket
        try:
            tls = None
            if self._credentials is not None:
                tls = TlsSession.accept(sock, self._credentials, _REQUEST_TIMEOUT_S)
            stream, path = MessageStream.accept(sock, self._limits, _REQUEST_TIMEOUT_S, tls)
            if path != self._path:
                stream.refuse(_UNIMPLEMENTED, f"no such method here: {path}")
                stream.wait_for_end()
            elif stream.peer is not None and Right.STREAM not in stream.peer.rights:
                why = f"the certificate of {stream.peer.name} has no right to stream"
                self._tell(why)
                stream.refuse(_PERMISSION_DENIED, why)
                stream.wait_for_end()
            else:
                self._handle(stream, connection)
        except UntrustedPeerError as error:
            self._tell(error)
        except (StreamBrokenError, OSError) as error:
            _log.debug("a connection ended: %s", error)
        except Exception:
            _log.exception("a stream ended by a defect")
        finally:
            with self._lock:
                # What it was is closed now, and nobody may shut what gets its number next.
                self._connections.discard(connection)
            if stream is not None:
                stream.close()
            sock.close()
            with self._lock:
                self._admission.leave(connection)
                self._threads.discard(threading.current_thread())

    def _handle(self, stream: MessageStream, connection: _Connection) -> None:
        stream.admitted_by(partial(self._admit, connection))
        if self._limits.max_opening_bytes is None:
            try:
                stream.establish()
            except NoRoomError as error:
                self._tell(error)
                stream.refuse(_RESOURCE_EXHAUSTED, str(error))
                stream.wait_for_end()
                return
        stream.answer()
        self._handler(stream)

"""Serves metrics over HTTP, in the text format and as OpenMetrics, on threads of its own; over TLS if that is wanted."""

from __future__ import annotations

import socket
import threading
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import CollectorRegistry, make_wsgi_app
from prometheus_client.exposition import ThreadingWSGIServer
from prometheus_client.registry import Collector

from transport.address import Address
from transport.credentials import Credentials

# A scraper that sends no request keeps a thread for no longer.
_REQUEST_TIMEOUT_S = 10.0


class MetricsServer:
    """Listens from the start; `close` ends it."""

    def __init__(self, listen: Address, collector: Collector, credentials: Credentials | None) -> None:
        """Args: credentials: for HTTPS, which only holders of a certificate of the same authority may scrape; None for HTTP.

        Raises: OSError: the address cannot be listened on.
        """
        registry = CollectorRegistry()
        registry.register(collector)
        server_class = _server_class(listen.host, credentials)
        self._server = make_server(listen.host, listen.port, make_wsgi_app(registry), server_class, _QuietHandler)
        self._thread = threading.Thread(target=self._server.serve_forever, name="boardline-metrics", daemon=True)
        self._thread.start()
        self.address = Address(listen.host, self._server.server_port)

    def close(self) -> None:
        """Takes no more scrapes."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _QuietHandler(WSGIRequestHandler):
    timeout = _REQUEST_TIMEOUT_S

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the base's name)
        """Scrapes are no events."""


def _server_class(host: str, credentials: Credentials | None) -> type[WSGIServer]:
    class Server(ThreadingWSGIServer):
        address_family = socket.AF_INET6 if ":" in host else socket.AF_INET

        def get_request(self) -> tuple[socket.socket, object]:
            """With TLS, the handshake comes with the first read, on the request's own thread."""
            sock, client = super().get_request()
            if credentials is None:
                return sock, client
            secure = credentials.https.wrap_socket(sock, server_side=True, do_handshake_on_connect=False)
            return secure, client

        def handle_error(self, request: object, client_address: object) -> None:
            """Whoever is refused, or hangs up, is no event, either."""

    return Server

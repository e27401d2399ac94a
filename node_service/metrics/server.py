"""Serves metrics over HTTP, in the text format and as OpenMetrics, on a thread of its own."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, start_http_server

from node_service.metrics.collector import NodeCollector
from transport.address import Address


class MetricsServer:
    """Listens from the start; `close` ends it."""

    def __init__(self, listen: Address, collector: NodeCollector) -> None:
        """Raises: OSError: the address cannot be listened on."""
        registry = CollectorRegistry()
        registry.register(collector)
        self._server, self._thread = start_http_server(listen.port, listen.host, registry)
        self.address = Address(listen.host, self._server.server_port)

    def close(self) -> None:
        """Takes no more scrapes."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

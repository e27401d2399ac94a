"""Serves a dispatcher's metrics while it is open."""

from __future__ import annotations

from dispatcher_client.errors import MetricsError
from dispatcher_client.metrics.collector import DispatcherCollector
from monitoring.metrics_server import MetricsServer
from transport.address import Address


class MetricsExporter:
    """Between `start` and `stop`; used by one thread at a time."""

    def __init__(self, listen: Address | None, collector: DispatcherCollector) -> None:
        """Args: listen: None for nowhere."""
        self._listen = listen
        self._collector = collector
        self._server: MetricsServer | None = None

    @property
    def address(self) -> str | None:
        """host:port at present, with the port that the system chose for port 0; None: it does not serve."""
        return None if self._server is None else str(self._server.address)

    def start(self) -> None:
        """Serves over plain HTTP, since a client's certificate is no server's; does nothing without an address.

        Raises: MetricsError: it cannot be listened on.
        """
        if self._listen is None:
            return
        try:
            self._server = MetricsServer(self._listen, self._collector, None)
        except OSError as error:
            raise MetricsError(
                f"cannot serve metrics on {self._listen}: {error.strerror or error}. Choose another address, or port 0."
            ) from error

    def stop(self) -> None:
        """Takes no more scrapes; does nothing if it does not serve."""
        if self._server is not None:
            self._server.close()
            self._server = None

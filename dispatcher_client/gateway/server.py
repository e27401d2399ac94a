"""Listens for clients of the protocol, over gRPC and over HTTP."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import signal
import ssl
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import grpc.aio
from aiohttp import web

from dispatcher_client.errors import OptionError
from dispatcher_client.gateway.errors import ListenError
from dispatcher_client.gateway.grpc_service import InferenceService
from dispatcher_client.gateway.http_service import HttpService
from dispatcher_client.gateway.models import Models, ServedModel
from protos.oip.v2.inference_pb2_grpc import add_GRPCInferenceServiceServicer_to_server
from transport.address import Address
from transport.channel import grpc_options

_log = logging.getLogger(__name__)
_STREAMS_AND_PROBES = 64  # calls of gRPC beyond the requests in flight


@dataclass(frozen=True)
class Tls:
    """What the gateway shows its clients; with `client_authority`, what they must show. Paths of PEM files."""

    certificate: Path
    key: Path
    client_authority: Path | None = None

    def for_grpc(self) -> grpc.ServerCredentials:
        """Raises: OptionError: the files cannot be read."""
        try:
            pair = self.key.read_bytes(), self.certificate.read_bytes()
            authority = None if self.client_authority is None else self.client_authority.read_bytes()
        except OSError as error:
            raise OptionError(f"{error.filename} cannot be read: {error.strerror}.") from error
        return grpc.ssl_server_credentials([pair], authority, require_client_auth=authority is not None)

    def for_http(self) -> ssl.SSLContext:
        """Raises: OptionError: the files cannot be used."""
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        try:
            context.load_cert_chain(self.certificate, self.key)
            if self.client_authority is not None:
                context.load_verify_locations(self.client_authority)
                context.verify_mode = ssl.CERT_REQUIRED
        except (OSError, ssl.SSLError) as error:
            raise OptionError(f"the certificate {self.certificate} and its key cannot be used: {error}.") from error
        return context


@dataclass(frozen=True)
class GatewayConfig:
    """Where and how to listen. `http`: None for gRPC only. `timeout_s`: for an answer, and for a request's body."""

    listen: Address
    http: Address | None
    tls: Tls | None
    is_plaintext_allowed: bool  # off loopback
    max_in_flight: int
    max_message_bytes: int
    timeout_s: float

    def __post_init__(self) -> None:
        """Raises: OptionError: plaintext off loopback was not asked for."""
        exposed = [str(a) for a in (self.listen, self.http) if a is not None and not _is_loopback(a.host)]
        if exposed and self.tls is None and not self.is_plaintext_allowed:
            raise OptionError(
                f"{', '.join(exposed)} can be reached from other machines, and there is no certificate: give --tls-cert and "
                "--tls-key, listen on 127.0.0.1, or ask for plaintext by name with --listen-insecure."
            )


class GatewayServer:
    """Serves models that are open, in the running event loop."""

    def __init__(self, models: Models, config: GatewayConfig) -> None:
        """Raises: OptionError: the certificate cannot be used."""
        self._config = config
        self._tls = None if config.tls is None else (config.tls.for_grpc(), config.tls.for_http())
        self._grpc = grpc.aio.server(
            options=[*grpc_options(max_receive_bytes=config.max_message_bytes), ("grpc.so_reuseport", 0)],
            maximum_concurrent_rpcs=config.max_in_flight + _STREAMS_AND_PROBES,
        )
        add_GRPCInferenceServiceServicer_to_server(InferenceService(models), self._grpc)
        app = HttpService(models, config.max_message_bytes, config.timeout_s).app
        # Without the first, a request whose client has hung up would be computed to its end.
        self._http = web.AppRunner(app, handler_cancellation=True, access_log=None, shutdown_timeout=config.timeout_s)

    async def start(self) -> tuple[Address, Address | None]:
        """Listens; the addresses, with the ports that the system chose for port 0. Raises: ListenError."""
        listen = Address(self._config.listen.host, self._add_grpc_port(self._config.listen))
        await self._grpc.start()
        return listen, None if self._config.http is None else await self._start_http(self._config.http)

    async def stop(self) -> None:
        """Takes no more requests; those in flight have the usual time."""
        await self._grpc.stop(self._config.timeout_s)
        await self._http.cleanup()

    def _add_grpc_port(self, address: Address) -> int:
        try:
            if self._tls is None:
                return int(self._grpc.add_insecure_port(str(address)))
            return int(self._grpc.add_secure_port(str(address), self._tls[0]))
        except RuntimeError as error:
            raise ListenError(
                f"cannot listen on {address}: the port is taken, the address is not this machine's, or the certificate "
                "and the key do not belong together. Choose another --listen."
            ) from error

    async def _start_http(self, address: Address) -> Address:
        await self._http.setup()
        context = None if self._tls is None else self._tls[1]
        site = web.TCPSite(self._http, address.host, address.port, ssl_context=context)
        try:
            await site.start()
        except OSError as error:
            raise ListenError(
                f"cannot listen on {address}: {error.strerror or error}. Choose another --http."
            ) from error
        return Address(address.host, self._http.addresses[0][1])


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


async def serve_models(served: Sequence[ServedModel], config: GatewayConfig) -> None:
    """Opens the models' chains and serves them until SIGTERM or SIGINT: the first lets what is in flight end, the second does not.

    Raises: ListenError, OptionError; what opening a chain raises.
    """
    loop, ended = asyncio.get_running_loop(), asyncio.Event()

    def end(number: int) -> None:
        loop.remove_signal_handler(number)  # the second one ends it at once
        ended.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, end, number)
    server = GatewayServer(Models(served, config.max_in_flight), config)
    async with AsyncExitStack() as stack:
        for model in served:
            await stack.enter_async_context(model.chain)
        stack.push_async_callback(server.stop)
        listen, http = await server.start()
        names = ", ".join(f"{model.name} version {model.version}" for model in served)
        scheme = "http" if config.tls is None else "https"
        also = "" if http is None else f" and on {scheme}://{http}/v2"
        _log.info("serves %s on %s for gRPC%s", names, listen, also)
        await ended.wait()
        _log.info("stopping; a second signal stops at once")

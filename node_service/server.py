"""The daemon: wires store, stages and servicers to a gRPC server; starts, drains and stops it."""

from __future__ import annotations

import asyncio
import logging
import os
import signal

import grpc.aio
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from node_service.config import NodeConfig
from node_service.control_plane import ControlPlane
from node_service.data_plane import SERVICE_NAME as DATA_PLANE
from node_service.data_plane import DataPlane
from node_service.deployments import Deployments
from node_service.errors import NodeServiceError
from node_service.store import Store
from protos.v1 import control_plane_pb2_grpc
from runtime import load_runtime
from transport.address import Address, require_plaintext_allowed
from transport.channel import grpc_options

_log = logging.getLogger(__name__)
_CONTROL_PLANE = "boardline.v1.ControlPlane"
_SERVING = health_pb2.HealthCheckResponse.SERVING
_NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


class ListenError(NodeServiceError):
    """The address cannot be listened on."""


class NodeServer:
    """One node service in the running event loop."""

    def __init__(self, config: NodeConfig) -> None:
        """Raises: PlaintextRefusedError, RuntimeMissingError, StoreError."""
        require_plaintext_allowed(config.listen, config.insecure)
        self._config = config
        self._draining = asyncio.Event()
        runtime = load_runtime(config.runtime)
        store = Store(config.store)
        self._deployments = Deployments(store, runtime, config.threads)
        self._health = health.aio.HealthServicer()
        self._server = grpc.aio.server(options=[*grpc_options(config.max_frame_bytes), ("grpc.so_reuseport", 0)])
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        control = ControlPlane(config, runtime, store, self._deployments, self._draining)
        control_plane_pb2_grpc.add_ControlPlaneServicer_to_server(control, self._server)
        data = DataPlane(config, self._deployments, self._draining)
        self._server.add_generic_rpc_handlers((data.handler(),))
        names = (_CONTROL_PLANE, DATA_PLANE, health.SERVICE_NAME, reflection.SERVICE_NAME)
        reflection.enable_server_reflection(names, self._server)
        self._runtime = runtime

    async def start(self) -> Address:
        """Loads what was loaded before, then listens; the address, with the port that the system chose for port 0.

        Raises: ListenError: the address is taken or is not this machine's.
        """
        await self._deployments.restore()
        listen = self._config.listen
        try:
            port = self._server.add_insecure_port(str(listen))
        except RuntimeError as error:
            raise ListenError(
                f"cannot listen on {listen}: the port is taken or the address is not this machine's. Choose another --listen."
            ) from error
        await self._server.start()
        await self._set_health(_SERVING)
        return Address(listen.host, port)

    async def drain(self) -> None:
        """Takes no more work, answers what was received, and stops; at the latest after the configured time-out."""
        self._draining.set()
        await self._set_health(_NOT_SERVING)
        await self._server.stop(self._config.drain_timeout_s)
        self._deployments.close()

    @property
    def runtime_name(self) -> str:
        """Runtime and version, for the log."""
        return f"{self._runtime.name} {self._runtime.version}"

    async def _set_health(self, status: health_pb2.HealthCheckResponse.ServingStatus) -> None:
        for service in ("", _CONTROL_PLANE, DATA_PLANE):
            await self._health.set(service, status)


async def serve(config: NodeConfig) -> None:
    """Serves until SIGTERM or SIGINT: the first drains, the second stops at once."""
    first = asyncio.Event()

    def on_signal() -> None:
        if first.is_set():
            _log.warning("stopped before the drain was done")
            logging.shutdown()
            os._exit(0)  # nothing that is being loaded or computed may hold it up
        first.set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):  # before anything is started that a signal should drain
        loop.add_signal_handler(number, on_signal)
    server = NodeServer(config)
    address = await server.start()
    _log.info("%s serves on %s with %s, store %s", config.name, address, server.runtime_name, config.store)
    if config.insecure:
        _log.warning(
            "plaintext was asked for: anyone who reaches %s can read and change tensors and load models", address
        )
    await first.wait()
    _log.info("draining; a second signal stops at once")
    await server.drain()
    _log.info("stopped")

"""The daemon: wires store, stages and servicers to a gRPC server; starts, drains and stops it."""

from __future__ import annotations

import asyncio
import atexit
import logging
import os
import platform
import signal
from functools import partial
from importlib.metadata import version
from importlib.util import find_spec
from typing import TYPE_CHECKING

import grpc.aio
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from monitoring.metrics_server import MetricsServer
from node_service.checked_partitions import CheckedPartitions
from node_service.config import NodeConfig
from node_service.control_plane import ControlPlane
from node_service.data_plane import DataPlane
from node_service.deployments import Deployments
from node_service.errors import NodeServiceError, RefusedError, StalledError, StoreError, TrialError
from node_service.machine import core_frequencies_hz, cores, machine_identity, memory_bytes
from node_service.measuring_turn import MeasuringTurn
from node_service.metrics import FrameStatistics, GrpcCalls, NodeCollector, NodeSources
from node_service.open_streams import OpenStreams
from node_service.partition_checks import PartitionChecks
from node_service.power import EnergyMeter, find_sensors
from node_service.probe_stage import Probes
from node_service.process_memory import ProcessMemory
from node_service.profile_cache import Configuration, ProfileCache
from node_service.profiler import Profiler
from node_service.service_manager import ServiceManager
from node_service.signed_partitions import SignedPartitions
from node_service.store import Store
from node_service.thermal import ThermalSensors
from node_service.vitals import Vitals
from node_service.worker_process import TRIAL_WORKER, WorkerProcess
from protos.v1 import control_plane_pb2_grpc
from runtime import load_runtime
from transport.address import Address
from transport.announcement import Announcement
from transport.channel import MAX_REQUEST_BYTES, PROTOCOL_VERSION, grpc_options, server_credentials
from transport.credentials import Credentials
from transport.errors import AnnouncementError

if TYPE_CHECKING:  # a board that is not announced can do without zeroconf
    from node_service.announcer import Announcer

_log = logging.getLogger(__name__)
_CONTROL_PLANE = "boardline.v1.ControlPlane"
_DATA_PLANE = "boardline.v1.DataPlane"
_SIGNALS = (signal.SIGTERM, signal.SIGINT)
_LAST_PORT = 65535
_DAY_S = 86_400.0
_MOST_CALLS = 128  # of the control plane at a time
_TRIES = 20  # for two free ports side by side
_SERVING = health_pb2.HealthCheckResponse.SERVING
_NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


class ListenError(NodeServiceError):
    """The address cannot be listened on."""


class AnnounceError(NodeServiceError):
    """The board cannot be announced as it is."""


class NodeServer:
    """One node service in the running event loop."""

    def __init__(self, config: NodeConfig) -> None:
        """Raises: AnnounceError, RuntimeMissingError, DelegateError, SignatureRefusedError, StoreError."""
        self._config = config
        self._draining = asyncio.Event()
        self._changing = asyncio.Lock()  # of being drained: what is remembered is what was said last
        self._is_stopping = False
        runtime = load_runtime(config.runtime, config.delegates)
        for delegate in config.delegates:  # what cannot be loaded is known before anybody sends frames
            runtime.with_delegate(delegate.name).open_delegates()
        store = self._store = Store(config.store, config.store_reserve_bytes)
        streams = OpenStreams()
        self._frames = FrameStatistics()
        self._checks = PartitionChecks(
            config.runtime,
            CheckedPartitions(config.store / "checked"),
            WorkerProcess(TRIAL_WORKER, work="trial of the partition", error=TrialError),
            available_bytes=lambda: memory_bytes()[1],
            allowed_operators=config.allow_operators,
            trial_load=config.trial_load,
        )
        self._deployments = Deployments(
            store,
            runtime,
            config.threads,
            streams.silent,
            self._frames.forget,
            checks=self._checks,
            signed=SignedPartitions(config.require_signature) if config.require_signature is not None else None,
            max_stages=config.max_stages,
            max_frame_bytes=config.max_frame_bytes,
        )
        self._health = health.aio.HealthServicer()
        calls = GrpcCalls()
        self._server = grpc.aio.server(
            interceptors=[calls],
            options=[*grpc_options(max_receive_bytes=MAX_REQUEST_BYTES), ("grpc.so_reuseport", 0)],
            maximum_concurrent_rpcs=_MOST_CALLS,
        )
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        probes = Probes(config.name, config.max_frame_bytes)
        turn = MeasuringTurn(self._draining)
        self._meter = EnergyMeter(find_sensors(config.sensors_root))
        thermal = ThermalSensors(config.sensors_root)
        self._profiler = Profiler(
            config,
            runtime,
            store,
            ProfileCache(
                config.store / "profiles",
                Configuration(
                    config.name,
                    machine_identity(),
                    runtime.identity,
                    {delegate.name: delegate.identity for delegate in config.delegates},
                ),
            ),
            turn,
            WorkerProcess(),
            thermal,
            count_frames=lambda: self._deployments.frames + probes.frames,
        )
        self._data = DataPlane(config, self._deployments, probes, streams, self._frames)
        control = ControlPlane(
            config,
            runtime,
            store,
            self._deployments,
            self._profiler,
            turn,
            self._draining,
            self.set_drained,
            Vitals(self._frames, self._meter, thermal),
        )
        control_plane_pb2_grpc.add_ControlPlaneServicer_to_server(control, self._server)
        names = (_CONTROL_PLANE, health.SERVICE_NAME, reflection.SERVICE_NAME)
        reflection.enable_server_reflection(names, self._server)
        self._runtime = runtime
        self._collector = NodeCollector(
            NodeSources(
                version=version("boardline"),
                board=config.name,
                runtime=self.runtime_name,
                stages=lambda: self._deployments,
                streams=streams,
                is_draining=self._draining.is_set,
                frames=self._frames,
                meter=self._meter,
                thermal=thermal,
                memory=ProcessMemory(),
                machine_memory=memory_bytes,
                certificate_ends_s=lambda: config.credentials.identity.ends_s if config.credentials else None,
                frequencies=partial(core_frequencies_hz, config.sensors_root),
                calls=calls,
            )
        )
        self._metrics: MetricsServer | None = None
        self._announcement = self._describe() if config.announce else None
        self._announcer: Announcer | None = None

    async def start(self) -> Address:
        """Loads what was loaded before, then listens; the address, with the port that the system chose for port 0.

        A board that was out of service stays so.
        Raises: ListenError: the address is taken or is not this machine's.
        """
        await self._deployments.restore()
        await self._enter_service(not self._store.is_drained)
        if self._store.is_drained:
            name = self._config.name
            _log.warning(
                "out of service, as before; to have it back: python -m dispatcher_client drain %s --undo", name
            )
        address = self._listen()
        await self._server.start()
        self._data.start()
        self._meter.start()
        self._serve_metrics()
        self._announce(address)
        return address

    def _describe(self) -> Announcement:
        """What the network is told of this board. Raises: AnnounceError."""
        if find_spec("zeroconf") is None:
            raise AnnounceError(
                "--announce needs the package zeroconf, which is not installed here: pip install 'boardline[discovery]'."
            )
        try:
            return Announcement(
                name=self._config.name,
                protocol_version=PROTOCOL_VERSION,
                software_version=version("boardline"),
                architecture=platform.machine(),
                runtime=self.runtime_name,
                cores=cores(),
                tls=self._config.credentials is not None,
            )
        except AnnouncementError as error:
            raise AnnounceError(f"the board cannot be announced: {error} Choose another --name.") from error

    def _announce(self, address: Address) -> None:
        if self._announcement is None:
            return
        from node_service.announcer import Announcer

        self._announcer = Announcer(self._announcement, address)
        self._announcer.start()
        self._announcer.set_wanted(not self._draining.is_set())

    def _serve_metrics(self) -> None:
        wanted = self._config.metrics
        if wanted is None:
            return
        try:
            self._metrics = MetricsServer(
                wanted, self._collector, self._config.credentials if self._config.metrics_tls else None
            )
        except OSError as error:
            raise ListenError(
                f"cannot serve metrics on {wanted}: {error.strerror or error}. Choose another --metrics, or 'off'."
            ) from error
        scheme = "https" if self._config.metrics_tls else "http"
        _log.info("metrics on %s://%s/metrics", scheme, self._metrics.address)

    def _listen(self) -> Address:
        """Two ports, one after the other: control plane and data plane."""
        wanted = self._config.listen
        if wanted.port == _LAST_PORT:
            raise ListenError(f"cannot listen on {wanted}: frames are taken on the next port. Choose a lower one.")
        for tries_left in reversed(range(_TRIES if wanted.port == 0 else 1)):
            try:
                frames = self._data.listen(wanted.data_plane if wanted.port else wanted)
                address = Address(wanted.host, frames.port - 1)
                self._add_port(str(address))
                return address
            except (OSError, RuntimeError) as error:
                self._data.unlisten()
                if not tries_left:
                    raise ListenError(
                        f"cannot listen on {wanted} and the port after it: one is taken, or the address is not this "
                        "machine's. Choose another --listen."
                    ) from error
        raise AssertionError("the last try returns or raises")

    def _add_port(self, address: str) -> None:
        credentials = self._config.credentials
        if credentials is None:
            self._server.add_insecure_port(address)
        else:
            self._server.add_secure_port(address, server_credentials(credentials))

    async def set_drained(self, is_drained: bool) -> str:
        """Takes the board out of service while it stays reachable, or back, now and after a restart.

        Returns: why a restart will not find it so; empty: it will.
        Raises: RefusedError: it shuts down.
        """
        async with self._changing:
            if self._is_stopping:
                raise RefusedError("is draining because it shuts down.")
            await self._enter_service(not is_drained)
            _log.info("taken out of service" if is_drained else "back in service")
            try:
                await asyncio.to_thread(self._store.save_drained, is_drained)
            except StoreError as error:
                _log.warning("a restart will find the board as it was before: %s", error)
                return str(error)
            return ""

    async def _enter_service(self, serves: bool) -> None:
        if serves:
            self._data.resume()
            self._draining.clear()
        else:
            self._draining.set()
            self._data.pause()
        if self._announcer is not None:
            self._announcer.set_wanted(serves)
        await self._set_health(_SERVING if serves else _NOT_SERVING)

    async def drain(self) -> None:
        """Takes no more work, answers what was received, and stops; at the latest after the configured time-out."""
        self._is_stopping = True
        self._draining.set()
        await self._set_health(_NOT_SERVING)
        timeout_s = self._config.drain_timeout_s
        ending = [self._server.stop(timeout_s), asyncio.to_thread(self._data.drain, timeout_s)]
        if self._announcer is not None:
            ending.append(asyncio.to_thread(self._announcer.close))
        await asyncio.gather(*ending)
        await self._profiler.close()
        await self._checks.close()
        self._deployments.close()
        self._meter.stop()
        if self._metrics is not None:
            await asyncio.to_thread(self._metrics.close)

    def standstill(self) -> StalledError | None:
        """What to say if a stage stands still; None while all is well."""
        return next((stalled for stage in self._deployments if (stalled := stage.standstill()) is not None), None)

    @property
    def runtime_name(self) -> str:
        """Runtime, version and delegate, for the log."""
        delegate = self._runtime.identity.delegate
        return f"{self._runtime.name} {self._runtime.version}{delegate and f' and {delegate}'}"

    async def _set_health(self, status: health_pb2.HealthCheckResponse.ServingStatus) -> None:
        for service in ("", _CONTROL_PLANE, _DATA_PLANE):
            await self._health.set(service, status)


def _ignore_signals() -> None:
    # The interpreter takes a good part of a second to go, without its handlers: a signal would turn success into a failure.
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_IGN)


async def _warning_of_certificate(credentials: Credentials | None, until: asyncio.Event) -> None:
    """Waits for the event, and warns once a day in the last month of the certificate."""
    while True:
        try:
            await asyncio.wait_for(until.wait(), _DAY_S)
            return
        except asyncio.TimeoutError:
            warning = None if credentials is None else credentials.warning()
        if warning is not None:
            _log.warning("%s", warning)


async def serve(config: NodeConfig) -> None:
    """Serves until SIGTERM or SIGINT: the first drains, the second stops at once."""
    first = asyncio.Event()
    loop = asyncio.get_running_loop()

    def on_signal(*_: object) -> None:
        if first.is_set():
            _ignore_signals()  # many signals would interrupt this handler over and over, and never let it come to its end
            _log.warning("stopped before the drain was done")
            logging.shutdown()
            os._exit(0)  # nothing that is being loaded or computed may hold it up
        loop.call_soon_threadsafe(first.set)

    # Not with loop.add_signal_handler: it ends with the loop, and a thread may still compute then.
    for number in _SIGNALS:  # before anything is started that a signal should drain
        signal.signal(number, on_signal)
    atexit.register(_ignore_signals)
    manager = ServiceManager()
    server = NodeServer(config)
    address = await server.start()
    _log.info(
        "%s serves on %s with %s, frames on port %d, store %s",
        config.name,
        address,
        server.runtime_name,
        address.data_plane.port,
        config.store,
    )
    manager.ready(f"{config.name} serves on {address}")
    beating = asyncio.ensure_future(manager.beat(server.standstill))
    await _warning_of_certificate(config.credentials, first)
    manager.stopping()
    _log.info("draining; a second signal stops at once")
    await server.drain()
    beating.cancel()
    _log.info("stopped")

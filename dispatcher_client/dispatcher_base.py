"""What every dispatcher is, whichever way its callers wait: a bundle, boards, and what serves at present."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from importlib.metadata import version

from bundle import Bundle, open_bundle
from dispatcher_client.chain import ReplyReport
from dispatcher_client.deadlines import Deadline
from dispatcher_client.deployment import DeployedStage, OnUpload
from dispatcher_client.door import Door
from dispatcher_client.entrance import Entrance
from dispatcher_client.errors import ChainClosedError, OptionError, OverloadedError, ReplyTimeoutError
from dispatcher_client.identity import BitPromise
from dispatcher_client.metrics import DispatcherCollector, DispatcherSources, Load, MetricsExporter, RequestStatistics
from dispatcher_client.micro_batches import is_whole_batch, single_specs
from dispatcher_client.model_directory import open_bundle_or_newest
from dispatcher_client.placement import PlanSource
from dispatcher_client.release import Release
from dispatcher_client.rollout import Rollout, require_fit
from dispatcher_client.service import ServiceSettings
from dispatcher_client.values import Answer, Values
from fleet.inventory import BoardsSource, load_inventory
from protos.v1.manifest_pb2 import Manifest
from protos.v1.tensor_pb2 import TensorSpec
from transport.address import Address
from transport.credentials import Credentials, choose_credentials
from transport.message_stream import SILENCE_S
from transport.tensor_codec import AUTO, parse_settings


class DispatcherBase:
    """Options, figures, and the work that `Dispatcher` and `AsyncDispatcher` have their callers wait for."""

    def __init__(
        self,
        bundle: str | os.PathLike[str] | Bundle,
        boards: BoardsSource,
        *,
        plan: PlanSource | None = None,
        taps: Sequence[str] = (),
        credentials: str | os.PathLike[str] | Credentials | None = None,
        insecure: bool = False,
        codec: str = AUTO,
        window: int | None = None,
        max_waiting: int = 1000,
        batch_wait_ms: float = 5.0,
        open_timeout_s: float = 30.0,
        reply_timeout_s: float = 60.0,
        silence_s: float = SILENCE_S,
        recovers: bool = True,
        recovery_timeout_s: float = 30.0,
        check_sample: bool = True,
        metrics: str | None = None,
        on_reply: Callable[[ReplyReport], None] = lambda report: None,
        on_upload: OnUpload = lambda board, sent_bytes, total_bytes: None,
    ) -> None:
        """Reads bundle and boards; nothing is connected before `open` or `with`.

        Args:
            bundle: path of a bundle, or one already read; of a directory of versions (1/, 2/, ...), the newest is taken.
            boards: path of a boards.yaml, or a list of "host:port".
            plan: which board serves which part: path of a plan.yaml, or one already read. Without it the bundle's own plan
                counts if all its boards are among `boards`; else partition k of its first splitting runs on board k.
            taps: layers or tensors inside the model whose values come with each answer, which is a dict by name then; of those
                that the bundle was split with (`split --taps`). The others are sent by the boards all the same, and not decoded.
            credentials: directory with this machine's certificate, key and authority; without it, the environment variable
                BOARDLINE_CREDENTIALS names it.
            insecure: speak plaintext, with boards that do.
            codec: how tensors are coded between boards: "auto", whichever lossless codec makes the slowest step faster, link by
                link and tensor by tensor; one name; or several separated by commas, as "auto,q8", to choose among these.
                half, q8, q4 and zfp:ERROR (largest absolute error) change the answers; see `compare_codecs`.
            window: most frames in flight in each chain; by default the fewest that keep the chain's slowest step busy, found
                from its answers.
            max_waiting: how many calls of `infer` and `submit` may wait for room in the windows at a time; those beyond raise
                OverloadedError at once. `stream` takes an input only when there is room, and is not counted.
            batch_wait_ms: how long an input waits for others to fill its frame; only of bundles that were split for a batch.
            open_timeout_s, reply_timeout_s: limits in seconds for opening the chain and for each answer, from the call that asks
                for it; waiting for room in a window counts.
            silence_s: a first board that gives no sign of life for so long is taken to be gone; boards watch those behind them
                (`--peer-silence-s` of the node service).
            recovers: when a board fails, go on with others and send again what has no answer: a spare of boards.yaml or any board
                that the plan leaves out, else the boards that are left, if they have the memory. Without it the requests that
                a broken chain has end with its error.
            recovery_timeout_s: how long what a broken chain has waits for a board to come back, when none is left that could serve;
                then it ends with the error, and so does what comes until there is one. Within the time limit of each answer.
            check_sample: compare each chain's answer to the bundle's sample with the whole model's when opening; what lossy
                codecs change of it is logged at the level of information.
            metrics: "host:port" on which Prometheus may scrape this dispatcher while it is open; port 0 lets the system choose,
                see `metrics_address`. Over plain HTTP, and who reaches it can read it: loopback is a good host. An application
                that has a registry or a server of its own registers `collector` there.
            on_reply: hears of every answered request, on a thread that each chain has for its answers, so with several chains
                maybe at the same time; must return at once.
            on_upload: hears (board, bytes sent, bytes in all) while partitions are uploaded.
        Raises: BundleError, BoardsFileError, AddressError, PlanError, PlacementError, CodecUnavailableError,
            OptionError, CredentialsError. PlaintextRefusedError: no credentials, and not `insecure`.
        """
        opened = bundle if isinstance(bundle, Bundle) else open_bundle_or_newest(bundle)
        self._inventory = load_inventory(boards)
        if window is not None and window < 1:
            raise OptionError(f"window is {window}, expected 1 or more frames in flight.")
        self._door = Door(max_waiting)
        if not 0 <= batch_wait_ms < float("inf"):
            raise OptionError(f"batch_wait_ms is {batch_wait_ms:g}, expected 0 or more milliseconds.")
        if not 0 < silence_s < float("inf"):
            raise OptionError(f"silence_s is {silence_s:g}, expected some seconds.")
        if not 0 <= recovery_timeout_s < float("inf"):
            raise OptionError(f"recovery_timeout_s is {recovery_timeout_s:g}, expected 0 or more seconds.")
        self._settings = ServiceSettings(
            credentials=(
                credentials if isinstance(credentials, Credentials) else choose_credentials(credentials, insecure)
            ),
            codecs=parse_settings(codec),
            open_timeout_s=open_timeout_s,
            reply_timeout_s=reply_timeout_s,
            silence_s=silence_s,
            check_sample=check_sample,
            recovers=recovers,
            recovery_timeout_s=recovery_timeout_s,
            window=window,
            batch_wait_s=batch_wait_ms / 1e3,
            taps=tuple(taps),
        )
        self._on_reply = on_reply
        self._on_upload = on_upload
        self._statistics = RequestStatistics()
        self._collector = DispatcherCollector(self._sources())
        self._exporter = MetricsExporter(None if metrics is None else Address.parse(metrics), self._collector)
        self._opening = threading.Lock()  # of open, close and deploy: two at once would leave a stream behind
        self._entrance: Entrance[Release] = Entrance()  # it has the release while that is open
        self._release = self._released(opened, plan)

    def _released(self, bundle: Bundle, plan: PlanSource | None) -> Release:
        return Release(bundle, self._inventory, plan, self._settings, self._hear)

    def _hear(self, report: ReplyReport) -> None:
        self._statistics.hear(report)
        self._on_reply(report)

    def __repr__(self) -> str:
        chains = " | ".join(f"{p.splitting.deployment_id} {p.route}" for p in self._release.placements)
        return f"<{type(self).__name__} {chains} {self._state()}>"

    def _state(self) -> str:
        service = self._release.service
        if service is None:
            return "closed"
        n_open, n_chains = len(service.open_chains), len(service.placements)
        return "open" if n_open == n_chains else f"broken, {n_open} of {n_chains} chains open"

    @property
    def manifest(self) -> Manifest:
        """The bundle's manifest: inputs, outputs, splittings."""
        return self._release.manifest

    @property
    def batch(self) -> int:
        """Inputs in one frame; 1 unless the bundle was split for a batch."""
        return self._release.bundle.batch

    @property
    def single_inputs(self) -> Sequence[TensorSpec]:
        """What the model takes, of a bundle that was split for a batch of a single input."""
        return self._release.single_inputs

    @property
    def single_outputs(self) -> Sequence[TensorSpec]:
        """What it answers to that."""
        return single_specs(self.manifest.outputs, self.batch)

    @property
    def deployment_ids(self) -> tuple[str, ...]:
        """The version that new requests go to, as reports of replies and boards name it: an id for each splitting in use."""
        return self._release.deployment_ids

    @property
    def stages(self) -> Sequence[DeployedStage]:
        """Which board serves which partition, chain by chain, and what it said of itself when the chain opened."""
        return tuple(self._release.stages)

    @property
    def route(self) -> str:
        """The boards that serve at present, `pi1 -> pi2`; several chains with a bar between them."""
        release = self._release
        placements = release.placements if release.service is None else release.service.placements
        return " | ".join(placement.route for placement in placements)

    @property
    def window(self) -> int:
        """Most frames in flight, over all chains; changes with what the answers show, unless it was given."""
        return sum(self._release.windows.settled_sizes)

    @property
    def has_lossy_codecs(self) -> bool:
        """Whether codecs are allowed that change answers."""
        return bool(self._settings.lossy)

    @property
    def coding_reasons(self) -> list[str]:
        """How each chain's inputs are coded on their way to its first board, and why; boards tell theirs in the replies."""
        service = self._release.service
        return [] if service is None else service.coding_reasons

    @property
    def is_ready(self) -> bool:
        """Whether requests are sent at once: it is open, and the boards of at least one chain are there."""
        service = self._release.service
        return service is not None and bool(service.open_chains)

    @property
    def promise(self) -> BitPromise:
        """What is promised of the bits, over all chains, through lossless codecs. Raises: ChainClosedError: not open."""
        if self._release.promise is None:
            raise ChainClosedError("the chain is not open.")
        return self._release.promise

    @property
    def collector(self) -> DispatcherCollector:
        """Its figures, for a registry of prometheus_client."""
        return self._collector

    @property
    def metrics_address(self) -> str | None:
        """Where Prometheus may scrape it at present; None: nowhere."""
        return self._exporter.address

    def _sources(self) -> DispatcherSources:
        credentials = self._settings.credentials
        return DispatcherSources(
            version=version("boardline"),
            model=lambda: self.manifest.model_name,
            requests=self._statistics,
            incidents=self._settings.incidents,
            load=self._load,
            waiting=lambda: self._door.n_waiting,
            certificate_ends_s=lambda: None if credentials is None else credentials.identity.ends_s,
        )

    def _load(self) -> Load:
        release = self._release
        service = release.service
        return Load(
            placements=release.placements if service is None else service.placements,
            windows=release.windows.settled_sizes,
            in_flight=release.windows.outstanding,
            open_chains=[] if service is None else service.open_chains,
        )

    def _open(self) -> None:
        with self._opening:
            if self._entrance.current is None:
                self._exporter.start()
                try:
                    self._release.open(self._on_upload)
                except BaseException:
                    self._exporter.stop()
                    raise
                self._entrance.exchange(self._release)

    def _close(self) -> None:
        with self._opening:
            release = self._entrance.exchange(None)
            if release is not None:
                release.close()
            self._exporter.stop()

    def _deploy(self, bundle: str | os.PathLike[str] | Bundle, plan: PlanSource | None) -> None:
        new = self._released(bundle if isinstance(bundle, Bundle) else open_bundle(bundle), plan)
        with self._opening:
            old = self._entrance.current
            if old is None:
                raise not_open()
            require_fit(old.manifest, new.manifest, self._settings.taps)
            boards = self._inventory.boards
            Rollout(old, new, boards, self._settings, self._entrance, self._switch, self._on_upload).run()

    def _switch(self, release: Release) -> None:
        before, self._release = self._release, release
        self._entrance.exchange(release)
        before.windows.wake()  # streams that wait for room there

    def _counted(self, send: Callable[[], Future[Answer]]) -> Future[Answer]:
        """What it gives, which the figures follow from now on. Raises: what it raises."""
        begun_s = time.perf_counter()
        try:
            future = send()
        except OverloadedError:
            self._statistics.refused()
            raise
        self._statistics.follow(future, begun_s)
        return future

    def _enter(self, values: Values, deadline: Deadline, chain_index: int | None, door: Door | None) -> Future[Answer]:
        try:
            with self._entrance.enter(deadline) as release:
                n_chains = len((release or self._release).placements)
                if chain_index is not None and not 0 <= chain_index < n_chains:
                    raise OptionError(f"chain_index is {chain_index}, there are chains 0 to {n_chains - 1}.")
                if release is None:
                    raise not_open()
                return release.submit(values, chain_index, deadline, door)
        except ReplyTimeoutError as error:
            future: Future[Answer] = Future()
            future.set_exception(error)
            return future

    def _weight(self, values: Values) -> int:
        """For how many single inputs it counts."""
        return self.batch if is_whole_batch(values, self.batch) else 1

    def _deadline(self, timeout_s: float | None) -> Deadline:
        return Deadline.after(self._settings.reply_timeout_s if timeout_s is None else timeout_s)


def not_open() -> ChainClosedError:
    """The error of who came too early, or too late."""
    return ChainClosedError("the chain is not open: use it in a with block, or call open().")

"""The dispatcher: arrays in, arrays out, through a chain of boards."""

from __future__ import annotations

import itertools
import os
import threading
import time
from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import Future
from importlib.metadata import version
from types import TracebackType

from bundle import Bundle, open_bundle
from dispatcher_client.answer_stream import stream_in_order
from dispatcher_client.chain import ReplyReport
from dispatcher_client.codec_comparison import CodecEffect
from dispatcher_client.deadlines import Deadline
from dispatcher_client.deployment import DeployedStage, OnUpload
from dispatcher_client.door import Door
from dispatcher_client.entrance import Entrance
from dispatcher_client.errors import ChainClosedError, OptionError, OverloadedError, ReplyTimeoutError
from dispatcher_client.identity import BitPromise
from dispatcher_client.journal import Journal, JournalModel
from dispatcher_client.journaled_stream import stream_new
from dispatcher_client.metrics import DispatcherCollector, DispatcherSources, Load, MetricsExporter, RequestStatistics
from dispatcher_client.micro_batches import is_whole_batch, join_batch
from dispatcher_client.model_directory import open_bundle_or_newest
from dispatcher_client.model_watch import ModelWatch, WatchEvent
from dispatcher_client.placement import PlanSource
from dispatcher_client.release import Release, ServingWindows
from dispatcher_client.rollout import Rollout, require_fit
from dispatcher_client.service import ServiceSettings
from dispatcher_client.values import Answer, Values
from fleet.event_loop import require_other_thread
from fleet.inventory import BoardsSource, load_inventory
from protos.v1.manifest_pb2 import Manifest
from transport.address import Address
from transport.credentials import Credentials, choose_credentials
from transport.message_stream import SILENCE_S
from transport.tensor_codec import AUTO, parse_settings


class Dispatcher:
    """A chain of boards that answers like the whole model; or several such chains, side by side.

        with Dispatcher(bundle="parts/", boards="boards.yaml") as chain:
            y = chain.infer(x)

    Thread-safe. Opening deploys what the boards lack, opens a stream through each chain's boards and runs the bundle's
    sample on each; with lossy codecs raw, and with each of these alone, over further streams that end then. A request goes
    to the chain with the fewest outstanding. When a board fails, what its chain had goes to another chain, unless `recovers`
    is False.

    With a bundle that was split for a batch, inputs are passed one by one all the same: those that come close together
    share a frame. Who has a whole batch in one array may pass that, and gets its answers in one array.
    """

    def __init__(
        self,
        bundle: str | os.PathLike[str] | Bundle,
        boards: BoardsSource,
        *,
        plan: PlanSource | None = None,
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
        return f"<Dispatcher {chains} {self._state()}>"

    def _state(self) -> str:
        service = self._release.service
        if service is None:
            return "closed"
        n_open, n_chains = len(service.open_chains), len(service.placements)
        return "open" if n_open == n_chains else f"broken, {n_open} of {n_chains} chains open"

    def __enter__(self) -> Dispatcher:
        self.open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def manifest(self) -> Manifest:
        """The bundle's manifest: inputs, outputs, splittings."""
        return self._release.manifest

    @property
    def batch(self) -> int:
        """Inputs in one frame; 1 unless the bundle was split for a batch."""
        return self._release.bundle.batch

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

    def open(self) -> None:
        """Deploys, opens the streams and checks the sample; does nothing if open.

        Raises: BoardError: naming the board. BitIdentityError: the sample's answer is not the whole model's. MetricsError:
            metrics cannot be served where they should be.
        """
        require_other_thread("open")
        with self._opening:
            if self._entrance.current is None:
                self._exporter.start()
                try:
                    self._release.open(self._on_upload)
                except BaseException:
                    self._exporter.stop()
                    raise
                self._entrance.exchange(self._release)

    def close(self) -> None:
        """Sends what waits for a batch to fill, then ends the streams; what the boards hold stays loaded. May be called twice."""
        require_other_thread("close")
        with self._opening:
            release = self._entrance.exchange(None)
            if release is not None:
                release.close()
            self._exporter.stop()

    def deploy(self, bundle: str | os.PathLike[str] | Bundle, *, plan: PlanSource | None = None) -> None:
        """Goes over to another version of the model while requests come, none of which fails.

        The new version is loaded beside the one that serves, opened and its sample checked; then new requests go to it, streams'
        too, and the old one answers what it has and is unloaded, unless others use it. Returns then. Where a board has no memory
        for both, requests wait while one takes the other's place. Each reply's report names the version that answered.
        Args:
            plan: as for the constructor, of the new bundle.
        Raises: VersionMisfitError: it has other inputs or outputs. What `open` and the constructor raise. In each case the
            version that served goes on, and of the new one nothing stays loaded. ChainClosedError: not open.
        """
        require_other_thread("deploy")
        new = self._released(bundle if isinstance(bundle, Bundle) else open_bundle(bundle), plan)
        with self._opening:
            old = self._entrance.current
            if old is None:
                raise _not_open()
            require_fit(old.manifest, new.manifest)
            boards = self._inventory.boards
            Rollout(old, new, boards, self._settings, self._entrance, self._switch, self._on_upload).run()

    def watch(
        self,
        directory: str | os.PathLike[str],
        *,
        every_s: float = 1.0,
        on_event: Callable[[WatchEvent], None] = lambda event: None,
    ) -> ModelWatch:
        """Deploys the newest version of a directory (1/, 2/, ...) whenever that is another one, as long as its block lasts.

        Args: on_event: hears of every version that was tried; one that fails leaves what serves as it is.
        """
        return ModelWatch(directory, self.deploy, serving=self.manifest, every_s=every_s, on_event=on_event)

    def _switch(self, release: Release) -> None:
        before, self._release = self._release, release
        self._entrance.exchange(release)
        before.windows.wake()  # streams that wait for room there

    def infer(self, values: Values, timeout_s: float | None = None, *, chain_index: int | None = None) -> Answer:
        """The model's answer to one input.

        Args:
            values: an array, or a dict by input name for a model with several inputs; shapes and dtypes as in
                `manifest.inputs`, of a bundle that was split for a batch also of a single input. Real arrays for a
                quantised model are quantised with its scale.
            timeout_s: limit in seconds for the whole call, with waiting for room in a window; `reply_timeout_s` by default.
            chain_index: the chain to ask, to measure it alone or to find a fault; by default the one with the fewest requests
                outstanding.
        Returns: an array, or a dict by output name; real numbers unless integers were passed for a quantised input.
        Raises: InputError, OptionError, OverloadedError, BoardError, ReplyTimeoutError, ChainClosedError.
        """
        require_other_thread("infer")
        future = self.submit(values, timeout_s, chain_index=chain_index)
        try:
            return future.result()
        finally:
            future.cancel()  # of one that was interrupted; otherwise nothing is left to cancel

    def submit(
        self, values: Values, timeout_s: float | None = None, *, chain_index: int | None = None
    ) -> Future[Answer]:
        """Sends one input and returns the answer's future; blocks while all windows are full.

        The time-out begins with the call and is one for all of it: whatever it waits for, the future has ended by then.
        Cancel the future if you wait no longer: boards drop the input then, as they do when its time is over.
        Callbacks added to the future run on the dispatcher's own threads, maybe several at the same time: one for each chain's
        answers, one for each chain's time-outs, and two for a bundle that was split for a batch, which send its frames and watch
        its inputs' time-outs. They must return at once and cannot wait for other answers. Of a request that has ended already,
        or cannot be sent, they run on the caller's thread.
        Raises: InputError, OptionError, OverloadedError and ChainClosedError at once, CallbackError from a callback; the future
            raises what `infer` raises.
        """
        require_other_thread("submit")
        return self._submit(values, timeout_s, chain_index, self._door)

    def _submit(
        self, values: Values, timeout_s: float | None, chain_index: int | None, door: Door | None
    ) -> Future[Answer]:
        deadline = self._deadline(timeout_s)
        begun_s = time.perf_counter()
        try:
            future = self._enter(values, deadline, chain_index, door)
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
                    raise _not_open()
                return release.submit(values, chain_index, deadline, door)
        except ReplyTimeoutError as error:
            future: Future[Answer] = Future()
            future.set_exception(error)
            return future

    def _deadline(self, timeout_s: float | None) -> Deadline:
        return Deadline.after(self._settings.reply_timeout_s if timeout_s is None else timeout_s)

    def stream(
        self, frames: Iterable[Values], timeout_s: float | None = None, *, journal: Journal | None = None
    ) -> Generator[Answer, None, None]:
        """Answers to many inputs, overlapped, in order.

        Lazy on both sides: an input is taken only when fewer than `window` answers are outstanding or unread; with several
        chains, when there are so few that the fastest chain need not wait for the slowest one's answer (at most nine times
        `window`, see `windows.py`). Inputs are taken on a thread of its own, so a slow source (a camera) does not hold up
        answers that are ready. If the stream is left early, what was submitted is cancelled; while the source is waiting for its
        next input, that thread ends when the source gives one. Of a bundle that was split for a batch, `window` times the batch
        inputs are taken.
        Args:
            timeout_s: limit in seconds for each answer, from when its input was taken; `reply_timeout_s` by default.
            journal: records each answer before it is given. After the application was killed, pass the same `frames` from their
                beginning: inputs with recorded answers are taken and left out, and only the other answers come; those recorded
                are in the journal, the last one perhaps not seen by the application.
        Raises: what `infer` raises, at the place of the input that caused it; what `frames` raises; JournalError.
        """

        def run(inputs: Iterable[Values]) -> Generator[Answer, None, None]:
            return stream_in_order(
                inputs,
                lambda values: self._submit(values, timeout_s, None, None),
                ServingWindows(lambda: self._release.windows),
                inputs_per_frame=self.batch,
                weigh=lambda values: self.batch if is_whole_batch(values, self.batch) else 1,
                on_end=lambda: self._release.flush(),
            )

        if journal is None:
            return run(frames)
        return stream_new(frames, run, journal, lambda: JournalModel.of(self.manifest))

    def compare_codecs(self, inputs: Iterable[Values], *, budget_s: float = 10.0) -> list[CodecEffect]:
        """What each lossy codec that is allowed changes of the answers, chain by chain; empty if none is lossy.

        The inputs go raw, and with each of these codecs alone on every link, over streams that are opened for it beside those
        in use, through the same stages.
        Args:
            inputs: as for `infer`, single ones; at least one.
            budget_s: once this time is over no further frame is begun.
        Raises: what `infer` and `open` raise.
        """
        require_other_thread("compare_codecs")
        with self._entrance.enter(self._deadline(None)) as release:
            if release is None or release.service is None:
                raise _not_open()
            if not self.has_lossy_codecs:
                return []
            named = (release.single_tensors(values) for values in inputs)
            stop_s = time.monotonic() + budget_s
            with release.service.comparison() as comparison:
                while members := list(itertools.islice(named, self.batch)):
                    comparison.run(join_batch(members, self.batch), len(members))
                    if time.monotonic() > stop_s:
                        break
                return comparison.effects


def _not_open() -> ChainClosedError:
    return ChainClosedError("the chain is not open: use it in a with block, or call open().")

"""A bundle as a dispatcher serves it: its place on the boards, windows of its own, its service while that is open."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from functools import partial

from bundle import Bundle
from dispatcher_client.chain import ReplyReport
from dispatcher_client.deadlines import Deadline
from dispatcher_client.deployment import DeployedStage, OnUpload
from dispatcher_client.door import Door
from dispatcher_client.errors import ChainClosedError
from dispatcher_client.identity import BitPromise
from dispatcher_client.micro_batches import MicroBatches, is_whole_batch, single_specs
from dispatcher_client.placement import PlanSource, place_chains
from dispatcher_client.service import Service, ServiceSettings
from dispatcher_client.values import Answer, Values, choose_taps, from_tensors, to_tensors
from dispatcher_client.window_control import WindowControl
from dispatcher_client.windows import Windows
from fleet.inventory import Inventory
from protos.v1.manifest_pb2 import Manifest
from protos.v1.tensor_pb2 import TensorSpec
from transport.tensor_spec import Array

_NS_PER_S = 1e9
# What was gathered when the dispatcher closes is sent first; behind boards that answer nothing it ends with an error.
_FLUSH_TIMEOUT_S = 10.0


class Release:
    """Submitting is for any thread. A dispatcher has one, and a second one while it goes over to another version."""

    def __init__(
        self,
        bundle: Bundle,
        inventory: Inventory,
        plan: PlanSource | None,
        settings: ServiceSettings,
        on_reply: Callable[[ReplyReport], None],
    ) -> None:
        """Raises: PlanError, PlacementError. OptionError: a tap that the bundle does not have."""
        self.bundle = bundle
        self.placements = place_chains(bundle, inventory.serving, plan)
        self.taps = choose_taps(self.manifest, settings.taps)
        self._answered = [*self.manifest.outputs, *self.taps]
        self._decoded = frozenset(spec.name for spec in self._answered)
        self.single_inputs = single_specs(self.manifest.inputs, bundle.batch)
        window = settings.window
        self.windows = Windows(
            [WindowControl(len(p.groups)) for p in self.placements]
            if window is None
            else [window] * len(self.placements)
        )
        self.stages: list[DeployedStage] = []
        self.promise: BitPromise | None = None
        self._boards = inventory.boards
        self._settings = settings
        self._on_reply = on_reply
        self._service: Service | None = None
        self._micro_batches: MicroBatches | None = None

    @property
    def manifest(self) -> Manifest:
        """The bundle's manifest."""
        return self.bundle.manifest

    @property
    def deployment_ids(self) -> tuple[str, ...]:
        """What the boards and the reports of replies call it: a name for each splitting that its chains use."""
        return tuple(dict.fromkeys(p.splitting.deployment_id for p in self.placements))

    @property
    def service(self) -> Service | None:
        """The bundle in service; None while that is closed."""
        return self._service

    def open(self, on_upload: OnUpload, *, goes_around: bool = True) -> None:
        """Deploys, opens the streams, checks the sample; see `Service.open`. Raises: BoardError, BitIdentityError."""
        service = Service(self.bundle, self._boards, self.placements, self.windows, self._settings, self._hear)
        service.open(on_upload, goes_around=goes_around)
        self.stages, self.promise = service.stages, service.promise
        if self.bundle.batch > 1:
            self._micro_batches = MicroBatches(
                self.bundle.batch, self._settings.batch_wait_s, partial(_send_batch, service, self._decoded)
            )
        self._service = service

    def submit(
        self, values: Values, chain_index: int | None, deadline: Deadline, door: Door | None = None
    ) -> Future[Answer]:
        """See `Dispatcher.submit`. Raises: InputError, ChainClosedError, OverloadedError: too many wait at the door."""
        service = self._service
        if service is None:
            raise ChainClosedError("the chain was closed.")
        gathering = None if is_whole_batch(values, self.bundle.batch) else self._micro_batches
        specs = self.manifest.inputs if gathering is None else self.single_inputs
        by_name, is_real = _named(specs, values)

        def finish(answer: dict[str, Array]) -> Answer:
            return from_tensors(self._answered, answer, is_real)

        if gathering is None:
            return service.submit(by_name, finish, chain_index, deadline, door, wanted=self._decoded)
        return gathering.submit(by_name, finish, chain_index, deadline, door)

    def single_tensors(self, values: Values) -> dict[str, Array]:
        """One input's tensors by name. Raises: InputError."""
        return _named(self.single_inputs, values)[0]

    def flush(self) -> None:
        """Sends what waits for others to fill its frame."""
        if self._micro_batches is not None:
            self._micro_batches.flush()

    def finish(self) -> None:
        """Waits until each request has its answer or its error. Nobody submits any more; all of them have deadlines."""
        self._wait_for_answers()
        if self._micro_batches is not None:
            self._micro_batches.close(_FLUSH_TIMEOUT_S)
            self._wait_for_answers()

    def close(self) -> None:
        """Sends what was gathered, then ends the streams; what the boards hold stays loaded. May be called twice."""
        service, self._service = self._service, None
        if service is None:
            return
        if self._micro_batches is not None:  # it stays, closed: a submit on its way finds out there
            self._micro_batches.close(_FLUSH_TIMEOUT_S)
        service.close()  # ends what could not be sent, too: nobody waits for room any more

    def _wait_for_answers(self) -> None:
        self.flush()
        self.windows.wait_until(lambda: not any(self.windows.outstanding))

    def _hear(self, report: ReplyReport) -> None:
        self.windows.hear(
            report.chain_index,
            report.latency_s,
            wait_s=sum(t.wait_ns for t in report.passed) / _NS_PER_S,
            coding_s=sum(t.decode_ns + t.encode_ns for t in report.passed) / _NS_PER_S,
            compute_s=[(t.compute_ns + t.pieces_wait_ns) / _NS_PER_S for t in report.passed],
        )
        self._on_reply(report)


class ServingWindows:
    """The windows of what serves at present, for a stream that outlives a version of the model."""

    def __init__(self, serving: Callable[[], Windows]) -> None:
        """Args: serving: the present windows; who exchanges them wakes those before."""
        self._serving = serving

    def room_ahead(self) -> int:
        """See `Windows.room_ahead`."""
        return self._serving().room_ahead()

    def wait_until(self, is_so: Callable[[], bool]) -> None:
        """See `Windows.wait_until`."""
        while not is_so():
            windows = self._serving()
            windows.wait_until(lambda windows=windows: is_so() or self._serving() is not windows)  # type: ignore[misc]

    def wake(self) -> None:
        """See `Windows.wake`."""
        self._serving().wake()


def _named(specs: Sequence[TensorSpec], values: Values) -> tuple[dict[str, Array], bool]:
    """Tensors by name, and whether the caller works in real numbers."""
    tensors, is_real = to_tensors(specs, values)
    return {spec.name: tensor for spec, tensor in zip(specs, tensors)}, is_real


def _send_batch(
    service: Service, wanted: frozenset[str], tensors: Mapping[str, Array], chain_index: int | None, deadline: Deadline
) -> Future[dict[str, Array]]:
    return service.submit(dict(tensors), lambda answer: answer, chain_index, deadline, wanted=wanted)

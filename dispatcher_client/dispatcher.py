"""The dispatcher: arrays in, arrays out, through a chain of boards."""

from __future__ import annotations

import logging
import os
import queue
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from types import TracebackType
from typing import TypeVar

import numpy as np

from bundle import Bundle, open_bundle
from dispatcher_client.boards import BoardsSource, load_boards
from dispatcher_client.chain import Chain, ReplyReport
from dispatcher_client.deployment import DeployedStage, OnUpload, deploy, place_in_order
from dispatcher_client.errors import BitIdentityError, ChainClosedError, DispatcherError, OptionError
from dispatcher_client.event_loop import require_other_thread, run_in_loop
from dispatcher_client.identity import BitPromise, judge_fleet
from dispatcher_client.values import Answer, Values, from_tensors, to_tensors
from protos.v1.manifest_pb2 import Manifest
from transport.boundary import check_boundary
from transport.errors import TransportError
from transport.frame import EncodedTensor
from transport.tensor_codec import codec_named, decode_tensor, encode_tensor
from transport.tensor_spec import Array

_log = logging.getLogger(__name__)
_T = TypeVar("_T")
# One frame computing and one waiting per stage keeps every stage busy; more would only wait longer.
_FRAMES_PER_STAGE = 2


class Dispatcher:
    """A chain of boards that answers like the whole model.

        with Dispatcher(bundle="parts/", boards="boards.yaml") as chain:
            y = chain.infer(x)

    Thread-safe. Opening deploys what the boards lack, opens the stream through all of them and runs the bundle's sample.
    """

    def __init__(
        self,
        bundle: str | os.PathLike[str] | Bundle,
        boards: BoardsSource,
        *,
        insecure: bool = False,
        codec: str = "raw",
        window: int | None = None,
        open_timeout_s: float = 30.0,
        reply_timeout_s: float = 60.0,
        check_sample: bool = True,
        on_reply: Callable[[ReplyReport], None] = lambda report: None,
        on_upload: OnUpload = lambda board, sent_bytes, total_bytes: None,
    ) -> None:
        """Reads bundle and boards; nothing is connected before `open` or `with`.

        Args:
            bundle: path of a bundle, or one already read.
            boards: path of a boards.yaml, or a list of "host:port"; partition k runs on board k.
            insecure: allow plaintext off loopback.
            codec: how tensors are coded between boards: raw, lz4 or shuffle-lz4; all give the same bits.
            window: most frames in flight; two per stage by default.
            open_timeout_s, reply_timeout_s: limits for opening the chain and for each answer.
            check_sample: compare the chain's answer to the bundle's sample with the whole model's when opening.
            on_reply: hears of every answered request, on the event loop's thread; must return at once.
            on_upload: hears (board, bytes sent, bytes in all) while partitions are uploaded.
        Raises: BundleError, BoardsFileError, AddressError, PlacementError, CodecUnavailableError,
            OptionError.
        """
        self._bundle = bundle if isinstance(bundle, Bundle) else open_bundle(bundle)
        self._placements = place_in_order(self._bundle, load_boards(boards))
        self._insecure = insecure
        self._codec = codec_named(codec).codec
        self._window = _FRAMES_PER_STAGE * len(self._placements) if window is None else window
        if self._window < 1:
            raise OptionError(f"window is {window}, expected 1 or more frames in flight.")
        self._slots = threading.BoundedSemaphore(self._window)
        self._open_timeout_s = open_timeout_s
        self._reply_timeout_s = reply_timeout_s
        self._check_sample = check_sample
        self._on_reply = on_reply
        self._on_upload = on_upload
        self._chain: Chain | None = None
        self._opening = threading.Lock()  # of open and close: two at once would leave a stream behind
        self._stages: list[DeployedStage] = []
        self._promise: BitPromise | None = None

    def __repr__(self) -> str:
        boards = " -> ".join(p.board.name for p in self._placements)
        state = "open" if self._chain is not None else "closed"
        return f"<Dispatcher {self._bundle.deployment_id} {boards} {state}>"

    def __enter__(self) -> Dispatcher:
        self.open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def manifest(self) -> Manifest:
        """The bundle's manifest: inputs, outputs, partitions."""
        return self._bundle.manifest

    @property
    def stages(self) -> Sequence[DeployedStage]:
        """Which board serves which partition, and what it said of itself when the chain opened."""
        return tuple(self._stages)

    @property
    def window(self) -> int:
        """Most frames in flight."""
        return self._window

    @property
    def promise(self) -> BitPromise:
        """What is promised of this chain's bits. Raises: ChainClosedError: not open."""
        if self._promise is None:
            raise ChainClosedError("the chain is not open.")
        return self._promise

    def open(self) -> None:
        """Deploys, opens the stream and checks the sample; does nothing if open.

        Raises: BoardError: naming the board. BitIdentityError: the sample's answer is not the whole model's.
        """
        require_other_thread("open")
        with self._opening:
            if self._chain is not None:
                return
            self._chain = run_in_loop(self._open())
            try:
                self._compare_sample()
            except BaseException:
                self._close()
                raise

    def close(self) -> None:
        """Ends the stream; what the boards hold stays loaded. May be called twice."""
        require_other_thread("close")
        with self._opening:
            self._close()

    def _close(self) -> None:
        chain, self._chain = self._chain, None
        if chain is not None:
            run_in_loop(chain.close())

    def infer(self, values: Values, timeout_s: float | None = None) -> Answer:
        """The model's answer to one input.

        Args:
            values: an array, or a dict by input name for a model with several inputs; shapes and dtypes as in
                `manifest.inputs`. Real arrays for a quantised model are quantised with its scale.
            timeout_s: limit for this answer; `reply_timeout_s` by default.
        Returns: an array, or a dict by output name; real numbers unless integers were passed for a quantised input.
        Raises: InputError, BoardError, ReplyTimeoutError, ChainClosedError.
        """
        require_other_thread("infer")
        return self.submit(values, timeout_s).result()

    def submit(self, values: Values, timeout_s: float | None = None) -> Future[Answer]:
        """Sends one input and returns the answer's future; blocks while the window is full.

        Callbacks added to the future run on the dispatcher's own thread: they must return at once and cannot wait for other
        answers.
        Raises: InputError at once, CallbackError from a callback; the future raises what `infer` raises.
        """
        require_other_thread("submit")
        tensors, is_real = to_tensors(self.manifest.inputs, values)
        by_name = {spec.name: tensor for spec, tensor in zip(self.manifest.inputs, tensors)}
        return self._submit(by_name, lambda answer: from_tensors(self.manifest.outputs, answer, is_real), timeout_s)

    def _submit(
        self, tensors: dict[str, Array], finish: Callable[[dict[str, Array]], _T], timeout_s: float | None
    ) -> Future[_T]:
        """Sends the model's input tensors, by tensor name; the future gives `finish` of the output tensors."""
        chain = self._chain
        if chain is None:
            raise ChainClosedError("the chain is not open: use it in a with block, or call open().")
        arriving = self.manifest.partitions[0].arriving
        encoded = [encode_tensor(tensors[spec.name], self._codec) for spec in arriving]
        limit_s = self._reply_timeout_s if timeout_s is None else timeout_s
        answer: Future[_T] = Future()
        # A slot comes free within the reply time-out, because every request ends by then.
        if not self._slots.acquire(timeout=limit_s + self._reply_timeout_s):
            raise ChainClosedError("the window stayed full: requests neither end nor time out.")
        try:
            reply = chain.post(encoded, limit_s)
        except BaseException:
            self._slots.release()
            raise

        def deliver(done: Future[list[EncodedTensor]]) -> None:
            self._slots.release()
            if not answer.set_running_or_notify_cancel():
                return
            try:
                answer.set_result(finish(self._read_answer(done.result())))
            except BaseException as error:
                answer.set_exception(error)

        reply.add_done_callback(deliver)
        return answer

    def stream(self, frames: Iterable[Values], timeout_s: float | None = None) -> Iterator[Answer]:
        """Answers to many inputs, overlapped, in order.

        Lazy on both sides: an input is taken only when fewer than `window` answers are outstanding or unread. Inputs are
        taken on a thread of its own, so a slow source (a camera) does not hold up answers that are ready. If the stream is
        left early while the source is waiting for its next input, that thread ends when the source gives one.
        Raises: what `infer` raises, at the place of the input that caused it; what `frames` raises.
        """
        results: queue.Queue[Future[Answer] | BaseException | None] = queue.Queue()  # bounded by `room`
        room = threading.Semaphore(self._window)
        stopped = threading.Event()

        def feed() -> None:
            try:
                source = iter(frames)
                while True:
                    room.acquire()
                    if stopped.is_set():
                        return
                    try:
                        values = next(source)
                    except StopIteration:
                        results.put(None)
                        return
                    results.put(self.submit(values, timeout_s))
            except BaseException as error:
                results.put(error)

        threading.Thread(target=feed, name="boardline-stream", daemon=True).start()
        try:
            while (item := results.get()) is not None:
                if isinstance(item, BaseException):
                    raise item
                answer = item.result()
                room.release()
                yield answer
        finally:
            stopped.set()
            room.release()

    async def _open(self) -> Chain:
        stages = await deploy(
            self._bundle,
            self._placements,
            insecure=self._insecure,
            timeout_s=self._open_timeout_s,
            on_upload=self._on_upload,
        )
        boards = [(s.placement.board.name, s.description.runtime) for s in stages]
        promise = judge_fleet(self.manifest.measured_on, boards)
        if not promise.fleet_is_uniform:
            _log.warning("%s", promise.text)
        chain = Chain(
            self._bundle.deployment_id, self._placements, self._codec, insecure=self._insecure, on_reply=self._on_reply
        )
        try:
            await chain.open(self._open_timeout_s)
        except BaseException:
            await chain.close()
            raise
        self._stages, self._promise = stages, promise
        return chain

    def _read_answer(self, encoded: list[EncodedTensor]) -> dict[str, Array]:
        leaving = self.manifest.partitions[-1].leaving
        try:
            check_boundary(leaving, encoded)
            return {spec.name: decode_tensor(tensor) for spec, tensor in zip(leaving, encoded)}
        except TransportError as error:
            raise DispatcherError(f"the chain's answer is not what the manifest says: {error}") from error

    def _compare_sample(self) -> None:
        if not self._check_sample:
            return
        inputs, expected = self._bundle.load_sample()
        answer = self._submit(inputs, lambda tensors: tensors, None).result()
        differing = {
            spec.alias or spec.name: _largest_difference(answer[spec.name], expected[spec.name])
            for spec in self.manifest.outputs
            if answer[spec.name].tobytes() != expected[spec.name].tobytes()
        }
        if not differing:
            return
        text = ", ".join(f"{name} by up to {difference:g}" for name, difference in differing.items())
        if self.promise.fleet_matches_bundle:
            processors = sorted(
                {s.description.runtime.processor for s in self._stages} | {self.manifest.measured_on.processor}
            )
            raise BitIdentityError(
                f"the chain's answer to the bundle's sample differs from the whole model's ({text}), although runtime and "
                f"architecture are the same; processors: {'; '.join(processors)}. Split the model again on one of these "
                "boards' kind, or open with check_sample=False."
            )
        _log.warning("the sample's answer differs from the bundle's (%s); %s", text, self.promise.text)


def _largest_difference(one: Array, other: Array) -> float:
    if one.shape != other.shape:
        return float("inf")
    return float(np.max(np.abs(one.astype(np.float64) - other.astype(np.float64)), initial=0.0))

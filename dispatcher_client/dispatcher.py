"""The dispatcher: arrays in, arrays out, through a chain of boards."""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future
from types import TracebackType

from bundle import Bundle
from dispatcher_client.answer_stream import stream_in_order
from dispatcher_client.codec_comparison import CodecEffect
from dispatcher_client.dispatcher_base import DispatcherBase, not_open
from dispatcher_client.door import Door
from dispatcher_client.journal import Journal, JournalModel
from dispatcher_client.journaled_stream import stream_new
from dispatcher_client.micro_batches import join_batch
from dispatcher_client.model_watch import ModelWatch, WatchEvent
from dispatcher_client.placement import PlanSource
from dispatcher_client.release import ServingWindows
from dispatcher_client.values import Answer, Values
from fleet.event_loop import require_other_thread


class Dispatcher(DispatcherBase):
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

    def __enter__(self) -> Dispatcher:
        self.open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def open(self) -> None:
        """Deploys, opens the streams and checks the sample; does nothing if open.

        Raises: BoardError: naming the board. BitIdentityError: the sample's answer is not the whole model's. MetricsError:
            metrics cannot be served where they should be.
        """
        require_other_thread("open")
        self._open()

    def close(self) -> None:
        """Sends what waits for a batch to fill, then ends the streams; what the boards hold stays loaded. May be called twice."""
        require_other_thread("close")
        self._close()

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
        self._deploy(bundle, plan)

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

    def infer(self, values: Values, timeout_s: float | None = None, *, chain_index: int | None = None) -> Answer:
        """The model's answer to one input.

        Args:
            values: an array, or a dict by input name for a model with several inputs; shapes and dtypes as in
                `manifest.inputs`, of a bundle that was split for a batch also of a single input. Real arrays for a
                quantised model are quantised with its scale.
            timeout_s: limit in seconds for the whole call, with waiting for room in a window; `reply_timeout_s` by default.
            chain_index: the chain to ask, to measure it alone or to find a fault; by default the one with the fewest requests
                outstanding.
        Returns: an array, or a dict by name of outputs and chosen taps; real numbers unless integers were passed for a
            quantised input.
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
        return self._counted(lambda: self._enter(values, deadline, chain_index, door))

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
                weigh=self._weight,
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
                raise not_open()
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

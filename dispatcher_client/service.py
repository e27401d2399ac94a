"""A bundle in service: its stages on boards, its chains open, what breaks mended."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import TypeVar

from bundle import Bundle
from dispatcher_client.chain import Chain, ReplyReport
from dispatcher_client.chain_group import ChainGroup
from dispatcher_client.codec_comparison import CodecComparison
from dispatcher_client.deadlines import Deadline
from dispatcher_client.deployment import DeployedStage, OnUpload, deploy
from dispatcher_client.door import Door
from dispatcher_client.identity import BitPromise, judge_fleet
from dispatcher_client.incidents import Incidents
from dispatcher_client.placement import ChainPlacement
from dispatcher_client.recovery import Recovery, RecoverySettings
from dispatcher_client.sample_check import compare_samples, log_effects
from dispatcher_client.windows import Windows
from fleet.errors import BoardUnavailableError
from fleet.event_loop import run_in_loop
from fleet.inventory import Board
from transport.credentials import Credentials
from transport.tensor_codec import CODECS, CodecSetting
from transport.tensor_spec import Array

_log = logging.getLogger(__name__)
_T = TypeVar("_T")


@dataclass(frozen=True)
class ServiceSettings:
    """How a bundle is put into service; see `Dispatcher`."""

    credentials: Credentials | None
    codecs: Sequence[CodecSetting]
    open_timeout_s: float
    reply_timeout_s: float
    silence_s: float
    check_sample: bool
    recovers: bool
    recovery_timeout_s: float
    window: int | None
    batch_wait_s: float
    taps: Sequence[str] = ()
    incidents: Incidents = field(default_factory=Incidents)

    @property
    def lossy(self) -> list[CodecSetting]:
        """The codecs that change answers."""
        return [setting for setting in self.codecs if not CODECS[setting.codec].is_lossless]


class Service:
    """Open from `open` until `close`; submitting is for any thread."""

    def __init__(
        self,
        bundle: Bundle,
        boards: Sequence[Board],
        placements: Sequence[ChainPlacement],
        windows: Windows,
        settings: ServiceSettings,
        on_reply: Callable[[ReplyReport], None],
    ) -> None:
        """Args: boards: all that may serve, spares among them."""
        self._bundle = bundle
        self._placements = placements
        self._settings = settings
        self._on_reply = on_reply
        self._windows = windows
        self._recovery: Recovery | None = None
        if settings.recovers:
            how = RecoverySettings(
                settings.credentials, settings.open_timeout_s, settings.recovery_timeout_s, settings.incidents
            )
            self._recovery = Recovery(bundle, boards, self._chain, how)
            self._group = ChainGroup(self._recovery.serve(placements), windows)
        else:
            self._group = ChainGroup([self._chain(placement) for placement in placements], windows)
        self.stages: list[DeployedStage] = []
        self.promise: BitPromise | None = None

    def open(self, on_upload: OnUpload, *, goes_around: bool = True) -> None:
        """Deploys, opens the streams, checks the sample and warms the spares.

        Args: goes_around: have the stages of a board that cannot be reached go to others at once, as when it fails later.
        Raises: BoardError: naming the board. BitIdentityError: the sample's answer is not the whole model's.
        """
        self._open_somewhere(on_upload, goes_around=goes_around)
        try:
            if self._recovery is not None:
                self._recovery.start()  # first: a chain may break at its sample
            self._compare_sample()
            if self._recovery is not None:
                self._recovery.warm_spares()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Ends the streams once what is in flight is answered; what the boards hold stays loaded."""
        if self._recovery is not None:
            self._recovery.stop()
        run_in_loop(self._group.close())
        if self._recovery is not None:
            self._recovery.join()

    def submit(
        self,
        tensors: dict[str, Array],
        finish: Callable[[dict[str, Array]], _T],
        chain_index: int | None,
        deadline: Deadline,
        door: Door | None = None,
        *,
        wanted: Collection[str] | None = None,
    ) -> Future[_T]:
        """Sends the model's input tensors, by tensor name; the future gives `finish` of the tensors of the answer.

        Args: wanted: names of those to decode; all by default.
        """
        # What arrives at every splitting's first partition; `parse_manifest` holds that.
        arrays = [tensors[spec.name] for spec in self._bundle.manifest.inputs]
        return self._group.submit(arrays, finish, deadline, chain_index, door, wanted=wanted)

    @property
    def placements(self) -> list[ChainPlacement]:
        """Where each chain runs at present."""
        return self._group.placements

    @property
    def open_chains(self) -> list[int]:
        """Indices of the chains that send requests at once."""
        return self._group.open_chains

    @property
    def coding_reasons(self) -> list[str]:
        """How each chain's inputs are coded on their way to its first board, and why."""
        return self._group.coding_reasons

    def comparison(self) -> CodecComparison:
        """Streams for each lossy codec, beside those in use."""
        settings = self._settings
        return CodecComparison(
            self._bundle.manifest,
            self.placements,
            settings.lossy,
            credentials=settings.credentials,
            open_timeout_s=settings.open_timeout_s,
            reply_timeout_s=settings.reply_timeout_s,
        )

    def _chain(self, placement: ChainPlacement) -> Chain:
        settings = self._settings
        return Chain(
            placement,
            settings.codecs,
            credentials=settings.credentials,
            silence_s=settings.silence_s,
            on_reply=self._on_reply,
        )

    def _open_somewhere(self, on_upload: OnUpload, *, goes_around: bool) -> None:
        while True:
            try:
                run_in_loop(self._open(on_upload))
                return
            except BoardUnavailableError as error:
                if self._recovery is None or not goes_around:
                    raise
                run_in_loop(self._group.close())
                self._group = ChainGroup(self._recovery.serve_without(error), self._windows)
                _log.warning("opened without it, as %s: %s", ", ".join(p.route for p in self.placements), error)

    async def _open(self, on_upload: OnUpload) -> None:
        settings = self._settings
        stages = await deploy(
            self._bundle,
            self.placements,
            credentials=settings.credentials,
            timeout_s=settings.open_timeout_s,
            on_upload=on_upload,
        )
        boards = [(s.placement.board.name, s.runtime) for s in stages]
        promise = judge_fleet(self._bundle.manifest.measured_on, boards)
        if not promise.fleet_is_uniform:
            _log.warning("%s", promise.text)
        await self._group.open(settings.open_timeout_s)
        self.stages, self.promise = stages, promise
        if self._recovery is not None:
            self._recovery.runtimes.serving = stages[0].runtime

    def _compare_sample(self) -> None:
        """Has every chain answer the bundle's sample, without lossy codecs. Raises: BitIdentityError."""
        settings, manifest = self._settings, self._bundle.manifest
        if not settings.check_sample:
            return
        assert self.promise is not None, "open"
        inputs, expected = self._bundle.load_sample()
        if settings.lossy:
            with self.comparison() as comparison:
                answers, effects = comparison.run(inputs, self._bundle.batch), comparison.effects
        else:
            deadline = Deadline.after(settings.reply_timeout_s)
            replies = [self.submit(inputs, dict, index, deadline) for index in range(len(self._placements))]
            answers, effects = [reply.result() for reply in replies], []
        compare_samples(manifest, expected, answers, self.stages, self.promise)
        log_effects(self._placements, effects)

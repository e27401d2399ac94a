"""What lossy codecs change of a chain's answers: the same inputs through the same stages, raw and with each codec alone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from dispatcher_client.answer_changes import ChangeTally, OutputChange
from dispatcher_client.chain import Chain
from dispatcher_client.chain_group import ChainGroup
from dispatcher_client.deadlines import Deadline
from dispatcher_client.micro_batches import split_batch
from dispatcher_client.placement import ChainPlacement
from dispatcher_client.windows import Windows
from fleet.errors import BoardRefusedError
from fleet.event_loop import run_in_loop
from fleet.together import together
from protos.v1.manifest_pb2 import Manifest
from transport.codec_setting import RAW, CodecSetting
from transport.credentials import Credentials
from transport.tensor_codec import setting_name
from transport.tensor_spec import Array


@dataclass(frozen=True)
class CodecEffect:
    """What one codec changes of one chain's answers where every link uses it and no other.

    Attributes:
        codec: as options name it.
        inputs: how many were compared.
        outputs: in the model's order; none if nothing was compared.
        refusal: why nothing was, as a board said it; else empty.
    """

    chain: int
    codec: str
    inputs: int
    outputs: tuple[OutputChange, ...]
    refusal: str = ""

    def __str__(self) -> str:
        what = "; ".join(map(str, self.outputs))
        return f"codec {self.codec} is not compared: {self.refusal}" if self.refusal else f"codec {self.codec}: {what}"

    def as_json(self) -> dict[str, Any]:
        """The figures as plain values."""
        return {**vars(self), "outputs": [output.as_json() for output in self.outputs]}


class CodecComparison:
    """Streams beside the application's through the same stages: one that sends raw, and one for each codec to be compared.

        with CodecComparison(manifest, placements, lossy, ...) as comparison:
            exact = comparison.run(frame, n_inputs)
            effects = comparison.effects

    A board that lacks a codec refuses its stream: that codec is not compared.
    """

    def __init__(
        self,
        manifest: Manifest,
        placements: Sequence[ChainPlacement],
        settings: Sequence[CodecSetting],
        *,
        credentials: Credentials | None,
        open_timeout_s: float,
        reply_timeout_s: float,
    ) -> None:
        self._manifest = manifest
        self._placements = placements
        self._settings = tuple(dict.fromkeys(settings))
        self._credentials = credentials
        self._open_timeout_s, self._reply_timeout_s = open_timeout_s, reply_timeout_s
        self._groups: dict[CodecSetting, ChainGroup] = {}
        self._refusals: dict[CodecSetting, BoardRefusedError] = {}
        self._tallies = {
            (index, setting): [ChangeTally(spec) for spec in manifest.outputs]
            for index in range(len(placements))
            for setting in self._settings
        }
        self._n_inputs = 0

    def __enter__(self) -> CodecComparison:
        """Opens all streams at once. Raises: BoardError: one cannot be opened, for another reason than its codec."""
        groups = {setting: self._group(setting) for setting in (RAW, *self._settings)}
        run_in_loop(self._open(groups))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        run_in_loop(_close(self._groups.values()))

    def run(self, frame: Mapping[str, Array], n_inputs: int) -> list[dict[str, Array]]:
        """Sends a frame in every way at once; the exact answers, chain by chain.

        Args:
            frame: the model's input tensors by name, of its batch.
            n_inputs: how many of the batch count.
        Returns: output tensors by name.
        Raises: BoardError, ReplyTimeoutError.
        """
        arrays = [frame[spec.name] for spec in self._manifest.inputs]
        replies = {
            (index, setting): group.submit(arrays, dict, Deadline.after(self._reply_timeout_s), index)
            for setting, group in self._groups.items()
            for index in range(len(self._placements))
        }
        answers = {key: reply.result() for key, reply in replies.items()}
        for (index, setting), answer in answers.items():
            if setting != RAW:
                self._note(self._tallies[index, setting], answers[index, RAW], answer, n_inputs)
        self._n_inputs += n_inputs
        return [answers[index, RAW] for index in range(len(self._placements))]

    @property
    def effects(self) -> list[CodecEffect]:
        """What was found so far, chain by chain; a frame has been run."""
        return [self._effect(index, setting) for index, setting in self._tallies]

    def _effect(self, index: int, setting: CodecSetting) -> CodecEffect:
        name = setting_name(setting)
        if setting in self._refusals:
            return CodecEffect(index, name, 0, (), str(self._refusals[setting]))
        return CodecEffect(index, name, self._n_inputs, tuple(t.result() for t in self._tallies[index, setting]))

    def _group(self, setting: CodecSetting) -> ChainGroup:
        chains = [
            Chain(p, [setting], credentials=self._credentials, on_reply=lambda report: None) for p in self._placements
        ]
        return ChainGroup(chains, Windows([1] * len(chains)))

    async def _open(self, groups: Mapping[CodecSetting, ChainGroup]) -> None:
        try:
            await together(self._open_one(setting, group) for setting, group in groups.items())
        except BaseException:
            await _close(groups.values())
            raise
        self._groups = {setting: group for setting, group in groups.items() if setting not in self._refusals}

    async def _open_one(self, setting: CodecSetting, group: ChainGroup) -> None:
        try:
            await group.open(self._open_timeout_s)
        except BoardRefusedError as refusal:
            if setting == RAW:
                raise
            self._refusals[setting] = refusal

    def _note(
        self, tallies: Sequence[ChangeTally], exact: dict[str, Array], changed: dict[str, Array], n_inputs: int
    ) -> None:
        batch = self._manifest.batch or 1
        rows = zip(split_batch(exact, batch), split_batch(changed, batch))
        for one, other in list(rows)[:n_inputs]:
            for tally, spec in zip(tallies, self._manifest.outputs):
                tally.note(one[spec.name], other[spec.name])


async def _close(groups: Iterable[ChainGroup]) -> None:
    await together(group.close() for group in groups)

"""Which coding of which tensor to try with the next frame, and what is known of each."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from transport.codec_setting import RAW, CodecSetting
from transport.coding_costs import CodingCost

# How much a new figure counts against what was known: encoding times differ from frame to frame by as much as they last.
_NEW_SHARE = 0.3


@dataclass(frozen=True)
class Trial:
    """A tensor of the frame to be encoded, and decoded again, for the figures only."""

    tensor_index: int
    setting: CodecSetting


class CodingTrials:
    """Costs of each tensor's settings, and the round of trials that is under way. At most one trial a frame."""

    def __init__(self, options: Sequence[Sequence[CodecSetting]]) -> None:
        """`options`: per tensor the settings it may have; RAW is known without a trial."""
        self._options = options
        self.costs: list[dict[CodecSetting, CodingCost]] = [{} for _ in options]
        self._waiting: deque[Trial] = deque()
        self.begin_round()

    def begin_round(self) -> None:
        """Has everything tried once more."""
        self._waiting = deque(
            Trial(index, setting)
            for index, settings in enumerate(self._options)
            for setting in settings
            if setting != RAW and len(settings) > 1
        )

    @property
    def next(self) -> Trial | None:
        """What to try with this frame; the same until it is noted."""
        return self._waiting[0] if self._waiting else None

    def note(self, trial: Trial, cost: CodingCost) -> None:
        """What a trial gave; it replaces what was known."""
        self.costs[trial.tensor_index][trial.setting] = cost
        if self.next == trial:
            self._waiting.popleft()

    def note_sent(
        self, settings: Sequence[CodecSetting], raw_bytes: Sequence[int], costs: Sequence[CodingCost]
    ) -> None:
        """What the settings in use gave with a frame; of its costs, the decoding is not measured here and stays."""
        for known, options, setting, size, cost in zip(self.costs, self._options, settings, raw_bytes, costs):
            if RAW in options:
                known[RAW] = CodingCost(size)
            before = known.get(setting)
            if setting != RAW and before is not None:
                known[setting] = CodingCost(
                    _mixed(before.encoded_bytes, cost.encoded_bytes),
                    _mixed(before.encode_s, cost.encode_s),
                    before.decode_s,
                )


def _mixed(known: float, new: float) -> float:
    return known + _NEW_SHARE * (new - known)

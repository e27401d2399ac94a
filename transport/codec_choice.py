"""Chooses, at the sender's end of one link, how each tensor is coded; by measurements that it is given, without a clock.

A codec is used only where it makes the slowest step faster: the sender's computing with its encoding, the link, the receiver's
decoding, or what is slowest elsewhere. Among codings that are equally fast the one of the least processor time is used, which on a
fast link is raw.

The way back: once coding has relieved a link, nothing measures what it could carry. So every 50 frames, and after each failure
half as often, a few frames go raw; if the link keeps up with them, they stay raw.
"""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import replace
from typing import Any

import numpy as np

from protos.v1.data_plane_pb2 import Codec
from transport.codec_setting import RAW, CodecSetting
from transport.coding_costs import BoardLoad, CodingCost, JointCoding, LinkLoad, fastest, joint_codings, lightest_within
from transport.coding_trials import CodingTrials, Trial
from transport.link_estimate import FrameReport, LinkEstimate
from transport.tensor_codec import setting_for, setting_name

# A change has to make the slowest step faster by this much, and a lighter coding must leave the link this much room. Together
# they need the link's estimate to move by a third before a choice is taken back: noise of a fifth, smoothed, does not.
_WORTH = 0.9
_LINK_MARGIN = 1.25
# Trials begin again after so many frames on which they matter, or once the link's rate has changed by so much.
_TRIALS_EVERY = 200
_RATE_CHANGE = 1.3
# Frames that go raw to see whether the link keeps up, and frames between: the first wait and the longest.
_PROBE_FRAMES = 4
_FIRST_WAIT, _LONGEST_WAIT = 50, 800
# A choice among the codings of four tensors takes 0.3 ms here, and more on a board.
_CHOICE_EVERY = 8
_MS = 1e3


class CodecChooser:
    """For each frame: take `choice`, try `next_trial()` if there is one, send, then `note_frame`."""

    def __init__(
        self,
        allowed: Sequence[CodecSetting],
        dtypes: Sequence[np.dtype[Any]],
        decodable: Set[Codec],
        board: BoardLoad,
        receiver: BoardLoad | None = None,
    ) -> None:
        """Begins with what is allowed first, or raw if that is among it.

        Args:
            allowed: one: always that. Several: one of them. None: raw. Nothing else is ever chosen, but for what a setting
                becomes for a dtype that it cannot hold, or a receiver that cannot decode it.
            dtypes: of the frame's tensors, in order.
            decodable: what the receiver can decode.
            board: this board; its `compute_s` is taken from the frames.
            receiver: the next board; None: like this one.
        """
        settings = list(allowed) or [RAW]
        options = [list(dict.fromkeys(setting_for(s, dtype, decodable) for s in settings)) for dtype in dtypes]
        self._trials = CodingTrials(options)
        self._link = LinkEstimate()
        self._board, self._receiver = board, receiver
        self._is_fixed = all(len(of_tensor) == 1 for of_tensor in options)
        self._raw = (RAW,) * len(dtypes) if all(RAW in of_tensor for of_tensor in options) else None
        self._chosen = self._raw or tuple(of_tensor[0] for of_tensor in options)
        self._reason = "the only one allowed" if self._is_fixed else "the link has not been the limit so far"
        self._tried_at_s_per_byte: float | None = None
        self._frames_since_round = 0
        self._frames_since_choice = 0
        self._chosen_at: object = None
        self._s_per_byte = 0.0  # when the choice was made
        self._probe_left = 0
        self._wait = self._frames_to_probe = _FIRST_WAIT

    @property
    def choice(self) -> tuple[CodecSetting, ...]:
        """How to code the next frame's tensors."""
        return self._raw if self._raw and self._probe_left else self._chosen

    @property
    def is_probing(self) -> bool:
        """Whether the next frame goes raw only to see what the link carries."""
        return self._probe_left > 0

    @property
    def reason(self) -> str:
        """The choice, and why, in one sentence without its full stop."""
        names = list(dict.fromkeys(map(setting_name, self._chosen)))
        return f"{' + '.join(names) or 'raw'}: {self._reason}"

    def next_trial(self) -> Trial | None:
        """A coding to try with this frame, if there is one: encode, decode, and measure the processor time of both."""
        return None if self._is_fixed else self._trials.next

    def note_trial(self, trial: Trial, cost: CodingCost) -> None:
        """What a trial gave."""
        self._trials.note(trial, cost)

    def note_frame(self, report: FrameReport) -> None:
        """What a frame took that was coded by `choice`; then the choice is made anew."""
        if self._is_fixed:
            return
        sent = [CodingCost(size, encode_s) for size, encode_s in zip(report.encoded_bytes, report.encode_s)]
        self._trials.note_sent(self.choice, report.raw_bytes, sent)
        current = self._cost_of(self.choice)
        load = self._load()
        ends_s = max(load.sender.step_s(current.encode_s), load.receiver.step_s(current.decode_s)) if current else 0.0
        self._link.note(report, ends_s)
        self._begin_trials_where_due()
        if self._probe_left:
            self._judge_probe()
        elif self._link.s_per_byte is not None:
            if self._is_choice_due():
                self._choose()
            self._probe_where_due()

    def _is_choice_due(self) -> bool:
        """Once something has changed that the choice depends on, and every eighth frame for what changes slowly."""
        key = (self._link.is_limiting, self._chosen, self._trials.next)
        now = self._link.s_per_byte or 0.0
        self._frames_since_choice += 1
        if (
            key == self._chosen_at
            and self._frames_since_choice < _CHOICE_EVERY
            and abs(now - self._s_per_byte) < 0.1 * now
        ):
            return False
        self._frames_since_choice, self._chosen_at, self._s_per_byte = 0, key, now
        return True

    def _choose(self) -> None:
        load, current = self._load(), self._cost_of(self._chosen)
        if current is None or not all(self._trials.costs):
            return  # of a tensor nothing is known yet
        codings = joint_codings(self._trials.costs, load)
        now_s = load.slowest_s(current)
        best = fastest(codings, load)
        if load.slowest_s(best.cost) < _WORTH * now_s:
            self._switch(best)
        else:
            lighter = lightest_within(codings, load, now_s, _LINK_MARGIN)
            if lighter is not None and lighter.cost.cpu_s < current.cpu_s:
                self._switch(lighter)
        self._reason = self._explain(load)

    def _switch(self, coding: JointCoding) -> None:
        if self._chosen == self._raw:
            self._frames_to_probe = self._wait
        self._chosen = coding.settings

    def _probe_where_due(self) -> None:
        """Begins to send raw frames, once it is long since the link was measured and raw may do."""
        if self._raw is None or self._chosen == self._raw or self._link.is_limiting:
            return
        self._frames_to_probe -= 1
        if self._frames_to_probe <= 0:
            self._probe_left = _PROBE_FRAMES

    def _judge_probe(self) -> None:
        self._probe_left -= 1
        if self._link.is_limiting:
            self._probe_left = 0
            self._wait = min(2 * self._wait, _LONGEST_WAIT)
            self._frames_to_probe = self._wait
        elif not self._probe_left and self._raw:
            self._chosen = self._raw
            # If raw does not last, the next try comes later; if it does, it does not matter.
            self._wait = min(2 * self._wait, _LONGEST_WAIT)
            self._reason = f"the link keeps up with a frame each {self._link.interval_s * _MS:.3g} ms"

    def _begin_trials_where_due(self) -> None:
        """A round of trials, where the choice may depend on them: while the link is the limit, or is relieved by coding."""
        if self._trials.next is not None or not (self._link.is_limiting or self._chosen != self._raw):
            return
        self._frames_since_round += 1
        now = self._link.s_per_byte
        # Taken at the end of a round, when the estimate has followed the change that began it.
        known = self._tried_at_s_per_byte = self._tried_at_s_per_byte or now
        has_changed = known and now and not 1 / _RATE_CHANGE < now / known < _RATE_CHANGE
        if has_changed or self._frames_since_round >= _TRIALS_EVERY:
            self._trials.begin_round()
            self._frames_since_round = 0
            self._tried_at_s_per_byte = None

    def _load(self) -> LinkLoad:
        board = BoardLoad(self._link.compute_s, self._board.cores, self._board.has_spare_core)
        # How long the next board computes is not known here: as long as this one, or as it was said to.
        compute_s = max(board.compute_s, self._receiver.compute_s) if self._receiver else board.compute_s
        receiver = replace(self._receiver or board, compute_s=compute_s)
        return LinkLoad(board, receiver, self._link.s_per_byte or 0.0, self._link.elsewhere_s)

    def _cost_of(self, settings: tuple[CodecSetting, ...]) -> CodingCost | None:
        costs = [known.get(setting) for known, setting in zip(self._trials.costs, settings)]
        known_costs = [cost for cost in costs if cost is not None]
        return sum(known_costs, CodingCost(0.0)) if len(known_costs) == len(costs) else None

    def _explain(self, load: LinkLoad) -> str:
        def link_ms(cost: CodingCost | None) -> str:
            return f"{load.link_s_per_byte * cost.encoded_bytes * _MS:.3g} ms" if cost else "an unknown time"

        chosen = self._cost_of(self._chosen)
        if self._chosen != self._raw:
            raw = f", {link_ms(self._cost_of(self._raw))} raw" if self._raw else ""
            return f"the link takes {link_ms(chosen)} a frame{raw}"
        if self._link.is_limiting:
            return f"the link takes {link_ms(chosen)} a frame, and no coding makes the slowest step {1 - _WORTH:.0%} faster"
        return f"the link takes at most {link_ms(chosen)} of the {self._link.interval_s * _MS:.3g} ms a frame takes"

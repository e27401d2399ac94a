"""Trials: each coding of each tensor once a round, one a frame."""

from __future__ import annotations

import pytest

from protos.v1.data_plane_pb2 import Codec
from transport.codec_setting import RAW, CodecSetting
from transport.coding_costs import CodingCost
from transport.coding_trials import CodingTrials, Trial

LZ4, HALF = CodecSetting(Codec.LZ4), CodecSetting(Codec.HALF)


def test_every_coding_is_tried_once_and_raw_and_the_only_one_never() -> None:
    trials = CodingTrials([[RAW, LZ4, HALF], [LZ4], [RAW, LZ4]])
    tried = []
    while (trial := trials.next) is not None:
        assert trials.next == trial
        trials.note(trial, CodingCost(1.0))
        tried.append(trial)
    assert tried == [Trial(0, LZ4), Trial(0, HALF), Trial(2, LZ4)]
    trials.begin_round()
    assert trials.next == tried[0]


def test_late_note_of_an_earlier_trial_takes_nothing_off_the_list() -> None:
    trials = CodingTrials([[RAW, LZ4, HALF]])
    trials.note(Trial(0, HALF), CodingCost(5.0))
    assert trials.next == Trial(0, LZ4)
    assert trials.costs[0][HALF] == CodingCost(5.0)


def test_costs_in_use_follow_the_frames_and_decoding_stays_as_tried() -> None:
    trials = CodingTrials([[RAW, LZ4]])
    for _ in range(2):
        trials.note_sent([LZ4], [100], [CodingCost(40.0, 2e-3)])
    assert trials.costs == [{RAW: CodingCost(100)}]
    trials.note(Trial(0, LZ4), CodingCost(60.0, 1e-3, 5e-4))
    trials.note_sent([LZ4], [100], [CodingCost(40.0, 2e-3)])
    assert trials.costs[0][LZ4].encoded_bytes == pytest.approx(54)
    assert trials.costs[0][LZ4].encode_s == pytest.approx(1.3e-3)
    assert trials.costs[0][LZ4].decode_s == 5e-4

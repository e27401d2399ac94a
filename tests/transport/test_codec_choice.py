"""The chooser on simulated links and boards: it settles, returns, does not flap, and takes only what is allowed."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import pytest

from protos.v1.data_plane_pb2 import Codec
from transport.codec_choice import CodecChooser
from transport.codec_setting import RAW, CodecSetting
from transport.coding_costs import BoardLoad, CodingCost
from transport.link_estimate import FrameReport
from transport.tensor_codec import CODECS

LZ4, SHUFFLE, HALF, ZFP, Q8 = (
    CodecSetting(c) for c in (Codec.LZ4, Codec.SHUFFLE_LZ4, Codec.HALF, Codec.ZFP, Codec.QUANTIZED_8)
)
LOSSLESS = [RAW, LZ4, SHUFFLE, ZFP]
FLOAT = np.dtype("<f4")
ALL = frozenset(CODECS)
MB = 1_000_000
# Share of raw bytes, and processor seconds per raw megabyte to encode and to decode.
FIGURES = {
    RAW: (1.0, 0.0, 0.0),
    LZ4: (0.65, 1.2e-3, 0.2e-3),
    SHUFFLE: (0.75, 1.4e-3, 0.4e-3),
    ZFP: (0.9, 4e-3, 4e-3),
    HALF: (0.5, 1e-3, 0.8e-3),
    Q8: (0.2, 0.6e-3, 0.1e-3),
}


@dataclass
class Simulation:
    """One link between two boards alike; `elsewhere_s` is the slowest step of the rest of the chain."""

    chooser: CodecChooser
    rate: float
    sizes: tuple[int, ...] = (MB,)
    compute_s: float = 0.02
    cores: float = 1.0
    has_spare_core: bool = True
    elsewhere_s: float = 0.0
    noise: float = 0.0
    rng: random.Random = field(default_factory=lambda: random.Random(5))
    choices: list[tuple[CodecSetting, ...]] = field(default_factory=list)
    interval_s: float = 0.0
    trials: int = 0

    def costs(self, settings: tuple[CodecSetting, ...]) -> list[CodingCost]:
        figures = [(FIGURES[s], size) for s, size in zip(settings, self.sizes)]
        return [CodingCost(round(r * n), e * n / MB, d * n / MB) for (r, e, d), n in figures]

    def step_s(self, settings: tuple[CodecSetting, ...], rate: float) -> tuple[float, float]:
        total = sum(self.costs(settings), CodingCost(0.0))
        board = BoardLoad(self.compute_s, self.cores, self.has_spare_core)
        rest_s = max(board.step_s(total.encode_s), board.step_s(total.decode_s), self.elsewhere_s)
        return rest_s, total.encoded_bytes / rate

    def run(self, frames: int) -> Simulation:
        for _ in range(frames):
            chooser = self.chooser
            trial = chooser.next_trial()
            if trial is not None:
                self.trials += 1
                same = tuple(trial.setting for _ in self.sizes)
                chooser.note_trial(trial, self.costs(same)[trial.tensor_index])
            settings = chooser.choice
            rate = self.rate * (1 + self.noise * self.rng.uniform(-1, 1))
            rest_s, link_s = self.step_s(settings, rate)
            rest_s *= 1 + self.noise * self.rng.uniform(-1, 1) / 2
            self.interval_s = max(rest_s, link_s)
            limits = link_s > 1.02 * rest_s
            costs = self.costs(settings)
            chooser.note_frame(
                FrameReport(
                    self.sizes,
                    tuple(int(c.encoded_bytes) for c in costs),
                    tuple(c.encode_s for c in costs),
                    self.compute_s,
                    self.interval_s,
                    link_s if limits else 0.0,
                    rate if limits else None,
                )
            )
            self.choices.append(settings)
        return self


def simulation(rate: float, allowed: list[CodecSetting] | None = None, **options: object) -> Simulation:
    sizes = options.get("sizes", (MB,))
    assert isinstance(sizes, tuple)
    board = BoardLoad(0.0, options.get("cores", 1.0), options.get("has_spare_core", True))  # type: ignore[arg-type]
    chooser = CodecChooser(LOSSLESS if allowed is None else allowed, [FLOAT] * len(sizes), ALL, board)
    return Simulation(chooser, rate, **options)  # type: ignore[arg-type]


def switches(choices: list[tuple[CodecSetting, ...]]) -> int:
    return sum(a != b for a, b in itertools.pairwise(choices))


def test_fast_link_stays_raw_and_says_why() -> None:
    run = simulation(1000 * MB).run(500)
    assert set(run.choices) == {(RAW,)}
    assert run.chooser.reason == "raw: the link has not been the limit so far"
    assert run.trials == 3


def test_slow_link_is_relieved_from_the_first_frames_on_and_says_why() -> None:
    run = simulation(20 * MB).run(10)
    assert run.choices[5:] == [(LZ4,)] * 5
    assert run.chooser.reason == "lz4: the link takes 32.5 ms a frame, 50 ms raw"


@pytest.mark.parametrize("sizes", [(MB,), (MB, MB // 4)])
@pytest.mark.parametrize("noise", [0.0, 0.2])
def test_choice_settles_within_ten_frames_of_a_tenfold_drop(sizes: tuple[int, ...], noise: float) -> None:
    run = simulation(150 * MB, sizes=sizes, noise=noise).run(60)
    assert set(run.choices) == {(RAW,) * len(sizes)}
    run.rate /= 10
    run.run(60)
    assert set(run.choices[70:]) == {(LZ4,) * len(sizes)}


def test_first_drop_settles_when_trials_are_still_under_way() -> None:
    run = simulation(150 * MB).run(2)
    run.rate /= 10
    run.run(40)
    assert set(run.choices[12:]) == {(LZ4,)}


@pytest.mark.parametrize("slow", [15 * MB, 40 * MB])
def test_choice_returns_to_raw_when_the_link_is_fast_again(slow: int) -> None:
    """At 15 MB/s the link limits coded frames too; at 40 coding relieves it, and only raw frames can show that it is fast."""
    run = simulation(slow).run(60)
    assert run.choices[-1] == (LZ4,)
    run.rate = 500 * MB
    run.run(200)
    assert set(run.choices[-50:]) == {(RAW,)}


def test_raw_frames_are_sent_ever_less_often_when_the_link_stays_slow() -> None:
    run = simulation(40 * MB).run(3000)
    raw = [k for k, choice in enumerate(run.choices) if choice == (RAW,)]
    assert set(run.choices) == {(RAW,), (LZ4,)}
    assert len(raw) < 20
    gaps = [b - a for a, b in itertools.pairwise(raw) if b - a > 1]
    assert gaps == sorted(gaps)


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("rate_mb", [15, 25, 31, 35, 47, 52, 60, 100])
def test_choice_does_not_flap_under_noise(rate_mb: int, seed: int) -> None:
    run = simulation(rate_mb * MB, noise=0.2, rng=random.Random(seed)).run(1000)
    settled = run.choices[20:]
    # Raw frames that only ask how fast the link is come in pairs of changes, at most ten times here.
    assert switches(settled) <= 20
    assert switches(settled) <= 2 * 10 * (len(set(settled)) - 1)


def test_link_that_is_not_the_slowest_step_is_left_raw() -> None:
    run = simulation(40 * MB, elsewhere_s=0.04).run(300)
    assert set(run.choices) == {(RAW,)}


def test_coding_goes_no_further_than_the_slowest_step_elsewhere() -> None:
    """At 30 MB/s raw takes 33 ms; LZ4 reaches the 25 ms that a frame takes anyway, q8 would do no more."""
    run = simulation(300 * MB, [RAW, LZ4, HALF], elsewhere_s=0.025).run(20)
    run.rate = 30 * MB
    run.run(60)
    assert run.choices[-1] in {(LZ4,), (HALF,)}
    assert run.interval_s == 0.025


def test_encoding_that_would_be_the_slowest_step_is_not_used() -> None:
    """A fifth of a core and none to spare: LZ4 would add 6 ms to 20, and the link takes 24 raw."""
    run = simulation(42 * MB, cores=0.2, has_spare_core=False).run(200)
    assert set(run.choices) == {(RAW,)}
    assert "no coding makes the slowest step 10% faster" in run.chooser.reason
    slower = simulation(20 * MB, cores=0.2, has_spare_core=False).run(200)
    assert slower.choices[-1] == (LZ4,)


def test_lossy_coding_is_used_only_where_it_is_allowed() -> None:
    assert all(c in {(RAW,), (LZ4,)} for c in simulation(MB, LOSSLESS).run(300).choices)
    assert simulation(5 * MB, [*LOSSLESS, Q8]).run(30).choices[-1] == (Q8,)


def test_single_setting_is_always_used_and_never_tried() -> None:
    for rate in (MB, 1000 * MB):
        run = simulation(rate, [ZFP]).run(50)
        assert set(run.choices) == {(ZFP,)}
        assert run.trials == 0
        assert run.chooser.reason == "zfp: the only one allowed"


def test_raw_is_used_when_nothing_is_said() -> None:
    run = simulation(MB, []).run(20)
    assert set(run.choices) == {(RAW,)}
    assert run.chooser.reason == "raw: the only one allowed"


def test_settings_without_raw_are_kept_to() -> None:
    run = simulation(20 * MB, [SHUFFLE, LZ4]).run(100)
    assert run.choices[0] == (SHUFFLE,)
    assert run.choices[-1] == (LZ4,)
    assert run.chooser.reason == "lz4: the link takes 32.5 ms a frame"


def test_what_the_receiver_cannot_decode_is_never_chosen() -> None:
    decodable = {Codec.RAW, Codec.SHUFFLE_LZ4}
    chooser = CodecChooser([*LOSSLESS, Q8], [FLOAT], decodable, BoardLoad(0.0))
    run = Simulation(chooser, 5 * MB).run(300)
    assert {s.codec for choice in run.choices for s in choice} == decodable


def test_settings_that_come_to_the_same_are_tried_once() -> None:
    """An int8 tensor is shuffled whichever of these is asked for."""
    chooser = CodecChooser([RAW, SHUFFLE, ZFP, HALF, Q8], [np.dtype("i1")], ALL, BoardLoad(0.0))
    run = Simulation(chooser, 5 * MB).run(50)
    assert run.trials == 1
    assert run.choices[-1] == (SHUFFLE,)


def test_trials_begin_anew_when_the_rate_has_changed_and_after_long() -> None:
    run = simulation(20 * MB).run(100)
    assert run.trials == 3
    run.rate /= 2
    run.run(20)
    assert run.trials == 6
    run.run(250)
    assert run.trials == 9


def test_tensors_are_chosen_jointly() -> None:
    """Against every combination, on boards where both encodings would be too much."""
    sizes = (MB, MB // 2)
    rates: list[Callable[[], Simulation]] = [
        lambda rate=rate: simulation(rate * MB, sizes=sizes, has_spare_core=False, cores=0.25)  # type: ignore[misc]
        for rate in (10, 20, 30, 40, 60)
    ]
    for make in rates:
        run = make().run(150)
        best_s = min(max(run.step_s(c, run.rate)) for c in itertools.product(LOSSLESS, repeat=2))
        assert max(run.step_s(run.choices[-1], run.rate)) <= best_s / 0.9 + 1e-9


def test_frame_without_tensors_is_no_trouble() -> None:
    chooser = CodecChooser(LOSSLESS, [], ALL, BoardLoad(0.0))
    chooser.note_frame(FrameReport((), (), (), 0.01, 0.02, 0.0))
    assert (chooser.choice, chooser.next_trial(), chooser.is_probing) == ((), None, False)
    assert chooser.reason == "raw: the only one allowed"

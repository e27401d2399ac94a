"""The joint choice for several tensors, against every combination."""

from __future__ import annotations

import itertools
import random

import pytest

from transport.codec_setting import CodecSetting
from transport.coding_costs import BoardLoad, CodingCost, LinkLoad, fastest, joint_codings, lightest_within
from transport.tensor_codec import CODECS

SETTINGS = [CodecSetting(codec) for codec in CODECS]


def random_costs(rng: random.Random, n_options: int) -> dict[CodecSetting, CodingCost]:
    raw = rng.uniform(1e4, 1e6)
    return {
        setting: CodingCost(raw * rng.random(), rng.uniform(0, 5e-3), rng.uniform(0, 5e-3)) if k else CodingCost(raw)
        for k, setting in enumerate(SETTINGS[:n_options])
    }


def random_load(rng: random.Random) -> LinkLoad:
    def board() -> BoardLoad:
        return BoardLoad(rng.uniform(1e-3, 5e-2), rng.choice([0.2, 1.0, 4.0]), rng.random() < 0.5)

    return LinkLoad(board(), board(), 1 / rng.uniform(1e6, 1e8), rng.choice([0.0, 0.02]))


@pytest.mark.parametrize("seed", range(60))
def test_joint_choice_is_the_best_of_all_combinations(seed: int) -> None:
    rng = random.Random(seed)
    options = [random_costs(rng, rng.randint(1, 5)) for _ in range(rng.randint(1, 3))]
    load = random_load(rng)
    every = [
        sum((cost for _, cost in combo), CodingCost(0.0)) for combo in itertools.product(*(o.items() for o in options))
    ]
    codings = joint_codings(options, load)
    best = fastest(codings, load)
    assert load.slowest_s(best.cost) == pytest.approx(min(map(load.slowest_s, every)))
    assert best.cost.encoded_bytes == pytest.approx(sum(o[s].encoded_bytes for o, s in zip(options, best.settings)))
    limit_s = 1.3 * load.slowest_s(best.cost)
    lightest = lightest_within(codings, load, limit_s, 1.25)
    within = [c.cpu_s for c in every if load.slowest_s(c, 1.25) <= limit_s]
    if within:
        assert lightest is not None
        assert lightest.cost.cpu_s == pytest.approx(min(within))
    else:
        assert lightest is None


def test_many_tensors_are_answered_from_a_bounded_number_of_combinations() -> None:
    rng = random.Random(1)
    options = [random_costs(rng, 5) for _ in range(20)]
    load = random_load(rng)
    codings = joint_codings(options, load)
    assert len(codings) <= 128
    assert all(len(c.settings) == 20 for c in codings)
    raw = sum((o[SETTINGS[0]] for o in options), CodingCost(0.0))
    assert load.slowest_s(fastest(codings, load).cost) < load.slowest_s(raw)


def test_coding_takes_time_beside_or_after_computing() -> None:
    assert BoardLoad(0.02, 1.0, has_spare_core=True).step_s(0.005) == 0.02
    assert BoardLoad(0.02, 4.0, has_spare_core=True).step_s(0.05) == 0.05
    assert BoardLoad(0.02, 0.2, has_spare_core=False).step_s(0.004) == pytest.approx(0.04)
    assert BoardLoad(0.02, 4.0, has_spare_core=False).step_s(0.04) == pytest.approx(0.03)

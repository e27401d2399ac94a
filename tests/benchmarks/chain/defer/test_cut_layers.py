"""Cuts are moved to the nearest layers, rising and none twice, with the least sum of distances."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from benchmarks.chain.defer.cut_layers import nearest_layers, shares_done
from benchmarks.chain.errors import BaselineError
from planner.sources import open_model
from tests.bundles import zoo_file


def distance(wanted: list[float], shares: list[float]) -> float:
    return sum(abs(w - s) for w, s in zip(wanted, shares))


def test_layers_are_as_near_as_any_choice_can_be() -> None:
    generator = np.random.default_rng(7)
    for _ in range(50):
        shares = sorted(map(float, generator.random(6)))
        wanted = sorted(map(float, generator.random(int(generator.integers(1, 5)))))
        layers = [(str(index), share) for index, share in enumerate(shares)]
        chosen = [shares[int(name)] for name in nearest_layers(wanted, layers)]
        assert chosen == sorted(set(chosen))
        best = min(distance(wanted, list(c)) for c in itertools.combinations(shares, len(wanted)))
        assert distance(wanted, chosen) == pytest.approx(best)


def test_no_cut_needs_no_layer() -> None:
    assert nearest_layers([], []) == []


def test_too_few_layers_are_refused() -> None:
    with pytest.raises(BaselineError, match="2 cuts are wanted, and all passes through 1 layers only"):
        nearest_layers([0.1, 0.2], [("only", 0.5)])


def test_shares_rise_to_the_whole() -> None:
    model = open_model(zoo_file("residual", "float32"))
    n_ops = len(model.graph.operators)
    shares = shares_done(model, range(n_ops + 1))
    assert shares == sorted(shares)
    assert (shares[0], shares[-1]) == (0.0, 1.0)

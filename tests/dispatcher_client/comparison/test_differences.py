"""Figures of how far values are from exact ones, by hand and by other formulas."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from dispatcher_client.comparison.differences import DifferenceTally, TensorDifference


def difference(exact: object, found: object) -> TensorDifference:
    tally = DifferenceTally()
    tally.note(np.asarray(exact, np.float32), np.asarray(found, np.float32))
    return tally.result()


def test_figures_are_those_worked_out_by_hand() -> None:
    found = difference([[3.0, 4.0]], [[3.0, 5.0]])
    assert (found.largest, found.mean, found.not_finite) == (1.0, 0.5, 0)
    assert found.rmse == pytest.approx(math.sqrt(1 / 2))
    assert found.sqnr_db == pytest.approx(10 * math.log10(25 / 1))
    assert found.cosine == pytest.approx((9 + 20) / (5 * math.sqrt(9 + 25)))
    assert not found.is_exact


def test_halving_the_difference_is_six_decibels_more() -> None:
    x = np.random.default_rng(0).standard_normal(1000)
    d = np.random.default_rng(1).standard_normal(1000)
    coarse, fine = difference(x, x + d / 8), difference(x, x + d / 16)
    assert fine.sqnr_db - coarse.sqnr_db == pytest.approx(20 * math.log10(2), abs=1e-3)


def test_inputs_add_up_to_what_they_are_as_one_array() -> None:
    generator = np.random.default_rng(2)
    exact = generator.standard_normal((5, 3, 4)).astype(np.float32)
    found = exact + generator.normal(0, 0.1, exact.shape).astype(np.float32)
    tally = DifferenceTally()
    for one, other in zip(exact, found):
        tally.note(one, other)
    whole = difference(exact, found)
    assert list(vars(tally.result()).values()) == pytest.approx(list(vars(whole).values()))
    assert whole.cosine == pytest.approx(np.corrcoef([exact.ravel(), found.ravel()])[0, 1], abs=0.01)


def test_equal_values_are_exact_and_json_has_no_infinity() -> None:
    found = difference([1.0, -2.0, 0.0], [1.0, -2.0, -0.0])
    assert found.is_exact
    assert (found.sqnr_db, found.cosine, found.rmse) == (math.inf, 1.0, 0.0)
    assert json.loads(json.dumps(found.as_json(), allow_nan=False))["sqnr_db"] is None


def test_what_is_no_number_is_counted_and_left_out_of_the_means() -> None:
    found = difference([np.nan, np.inf, 1.0, 2.0], [np.nan, np.inf, np.nan, 4.0])
    assert (found.not_finite, found.mean, found.largest) == (3, 2.0, math.inf)
    nothing = difference([], [])
    assert math.isnan(nothing.mean)
    assert nothing.is_exact


def test_noise_where_there_is_no_signal() -> None:
    found = difference([0.0, 0.0], [0.0, 1.0])
    assert (found.sqnr_db, found.cosine) == (-math.inf, 0.0)

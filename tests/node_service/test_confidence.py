"""Batch means: the interval holds the true mean as often as it says, also when one run's time depends on the last one's."""

from __future__ import annotations

import numpy as np
import pytest

from node_service.confidence import Estimate, estimate_mean


def test_interval_is_students_when_the_values_are_few() -> None:
    # s = 2.5 ** 0.5, t(4) = 2.776
    estimate = estimate_mean([1, 2, 3, 4, 5])
    assert estimate.mean == 3
    assert estimate.half_width == pytest.approx(2.776 * (2.5 / 5) ** 0.5)


def test_interval_is_as_wide_as_the_mean_when_there_is_one_value() -> None:
    assert estimate_mean([0.5]) == Estimate(0.5, 0.5)


def test_interval_is_empty_when_all_values_are_equal() -> None:
    estimate = estimate_mean([2.0] * 1234)
    assert estimate == Estimate(2.0, 0.0)
    assert estimate.is_within(1e-9)


def test_mean_counts_the_values_that_fill_no_batch() -> None:
    assert estimate_mean([*[1.0] * 20, 22.0]).mean == 2.0


# Correlated runs need batches that are longer than what ties a run to the next.
@pytest.mark.parametrize(("n", "correlation"), [(5, 0.0), (12, 0.0), (100, 0.0), (5_000, 0.8)])
def test_interval_holds_the_true_mean_about_as_often_as_it_says(n: int, correlation: float) -> None:
    rng = np.random.default_rng(n)
    rounds, hits = 300, 0
    for _ in range(rounds):
        values = 1 + _correlated(rng, n, correlation)
        estimate = estimate_mean(values.tolist())
        hits += abs(estimate.mean - 1) <= estimate.half_width
    # 95 % of 300, less three standard deviations of a count.
    assert hits >= 0.95 * rounds - 3 * (rounds * 0.95 * 0.05) ** 0.5


def _correlated(rng: np.random.Generator, n: int, correlation: float) -> np.ndarray:
    noise = rng.normal(scale=0.1, size=n)
    for i in range(1, n):
        noise[i] += correlation * noise[i - 1]
    return noise

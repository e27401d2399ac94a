"""How well the mean of successive run times is known: batch means and Student's t."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

# Two-sided 95 % points of Student's t, by degrees of freedom from 1 (any statistics handbook's table).
_T_95 = (
    *(12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228),
    *(2.201, 2.179, 2.160, 2.145, 2.131, 2.120, 2.110, 2.101, 2.093),
)
# From ten batches on, t no longer falls much, and larger batches hide what ties one run to the next.
ENOUGH_BATCHES = 10


@dataclass(frozen=True)
class Estimate:
    """A mean and half the width of its 95 % confidence interval, in the unit of the values."""

    mean: float
    half_width: float

    def is_within(self, share: float) -> bool:
        """Whether the interval reaches no further from the mean than this share of it."""
        return self.half_width <= share * self.mean


def estimate_mean(values: Sequence[float]) -> Estimate:
    """The mean of successive measurements, which need not be independent of one another.

        half width = t(k - 1) * s / sqrt(k),   s: standard deviation of the means of k batches

    Run times are correlated: a slow moment covers several runs. Means over batches of consecutive runs are nearly
    independent where the runs are not, so the interval is computed from those. The values that fill no batch, fewer than
    one in ten, count in the mean only. One value alone has an interval as wide as itself.
    Args:
        values: (n,), n >= 1, in the order in which they were measured.
    Source: A. M. Law, "Simulation Modeling and Analysis", the method of batch means.
    """
    n = len(values)
    mean = math.fsum(values) / n
    if n == 1:
        return Estimate(mean, mean)
    size = max(1, n // ENOUGH_BATCHES)
    batches = [math.fsum(values[i : i + size]) / size for i in range(0, n - size + 1, size)]
    k = len(batches)  # 2 to 19
    centre = math.fsum(batches) / k
    deviation = math.sqrt(math.fsum((b - centre) ** 2 for b in batches) / (k - 1))
    return Estimate(mean, _T_95[k - 2] * deviation / math.sqrt(k))

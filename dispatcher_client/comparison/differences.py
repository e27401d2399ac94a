"""How far the values of a tensor are from exact ones, over many inputs."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from dispatcher_client.answer_changes import largest_difference
from transport.tensor_spec import Array

_DB = 10.0  # decibels of a tenfold power


@dataclass(frozen=True)
class TensorDifference:
    """Of all elements over all inputs, in real numbers; x is exact, d the difference from it.

    Attributes:
        largest: max |d|; infinity where only one of the two values is a finite number.
        mean: mean |d|.
        rmse: sqrt(mean d^2).
        sqnr_db: signal to quantisation noise, 10 log10(sum x^2 / sum d^2): 6 dB more is half the
            difference. Infinity: all are equal.
        cosine: of the angle between the two as vectors; 1 where all are equal.
        not_finite: elements that are left out of all but `largest`, because one of the two is no finite number.
    """

    largest: float
    mean: float
    rmse: float
    sqnr_db: float
    cosine: float
    not_finite: int

    @property
    def is_exact(self) -> bool:
        """Whether no element differs."""
        return self.largest == 0

    def as_json(self) -> dict[str, Any]:
        """The figures as plain values; null where JSON has no number."""
        return {name: value if math.isfinite(value) else None for name, value in vars(self).items()}


class DifferenceTally:
    """Adds up the differences of one tensor, input by input, in float64."""

    def __init__(self) -> None:
        self._count = self._not_finite = 0
        self._largest = self._absolute = self._squares = 0.0
        self._exact_squares = self._found_squares = self._products = 0.0

    def note(self, exact: Array, found: Array) -> None:
        """Takes one input's values into account, both real and of one shape."""
        exact, found = exact.astype(np.float64).reshape(-1), found.astype(np.float64).reshape(-1)
        self._largest = max(self._largest, largest_difference(exact, found))
        is_finite = np.isfinite(exact) & np.isfinite(found)
        self._not_finite += int(exact.size - np.count_nonzero(is_finite))
        exact, found = exact[is_finite], found[is_finite]
        difference = found - exact
        self._count += exact.size
        self._absolute += float(np.abs(difference).sum())
        self._squares += float(difference @ difference)
        self._exact_squares += float(exact @ exact)
        self._found_squares += float(found @ found)
        self._products += float(exact @ found)

    def result(self) -> TensorDifference:
        """The figures so far; NaN where there was no element."""
        count = self._count or math.nan
        return TensorDifference(
            self._largest,
            self._absolute / count,
            math.sqrt(self._squares / count),
            self._sqnr_db(),
            self._cosine(),
            self._not_finite,
        )

    def _sqnr_db(self) -> float:
        if self._squares == 0:
            return math.inf
        return _DB * math.log10(self._exact_squares / self._squares) if self._exact_squares else -math.inf

    def _cosine(self) -> float:
        if self._squares == 0:
            return 1.0
        lengths = math.sqrt(self._exact_squares) * math.sqrt(self._found_squares)
        return self._products / lengths if lengths else 0.0

"""How far answers differ from exact ones: the largest difference, its share of the output's range, and the first choice."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from dispatcher_client.values import public_name
from protos.v1.tensor_pb2 import TensorSpec
from transport.tensor_spec import Array, dequantize


@dataclass(frozen=True)
class OutputChange:
    """What became of one output over some inputs; of a quantised one, in real numbers.

    Attributes:
        shape: of one answer.
        largest_difference: of any two elements in the same place; infinity where only one of them is a number, or where the
            answers have different shapes.
        share_of_range: the same as a share of the largest less the smallest exact element, over all inputs together; infinity
            where elements differ that are all equal in the exact answers.
        top1_axis: the axis of the classes, of an output that is a vector of real numbers; else None.
        top1_agreement: the share of inputs whose largest element is the same one, the first of equals; None without an axis.
    """

    output: str
    shape: tuple[int, ...]
    largest_difference: float
    share_of_range: float
    top1_axis: int | None
    top1_agreement: float | None

    def __str__(self) -> str:
        text = f"{self.output} by up to {self.largest_difference:g} ({self.share_of_range:.2%} of its range)"
        return text if self.top1_agreement is None else f"{text}, the first choice agrees for {self.top1_agreement:.1%}"

    def as_json(self) -> dict[str, Any]:
        """The figures as plain values; null where JSON has no number."""
        return {
            name: None if isinstance(value, float) and not math.isfinite(value) else value
            for name, value in vars(self).items()
        }


class ChangeTally:
    """Adds up what changes of one output, answer by answer."""

    def __init__(self, spec: TensorSpec) -> None:
        self._spec = spec
        self._shape: tuple[int, ...] = ()
        self._largest_difference = 0.0
        self._low, self._high = math.inf, -math.inf
        self._top1_axis: int | None = None
        self._n_agreeing = self._n_answers = 0

    def note(self, exact: Array, changed: Array) -> None:
        """Takes one input's two answers into account, as the output's tensor has them."""
        if not self._n_answers:
            self._shape, self._top1_axis = exact.shape, class_axis(self._spec, exact)
        exact = dequantize(self._spec, exact).astype(np.float64)
        changed = dequantize(self._spec, changed).astype(np.float64)
        self._n_answers += 1
        self._largest_difference = max(self._largest_difference, largest_difference(exact, changed))
        numbers = exact[np.isfinite(exact)]
        self._low = min(self._low, float(np.min(numbers, initial=math.inf)))
        self._high = max(self._high, float(np.max(numbers, initial=-math.inf)))
        if self._top1_axis is not None and exact.shape == changed.shape and exact.size:
            self._n_agreeing += int(np.argmax(exact) == np.argmax(changed))

    def result(self) -> OutputChange:
        """The figures so far; there has been an answer."""
        axis = self._top1_axis
        return OutputChange(
            public_name(self._spec),
            self._shape,
            self._largest_difference,
            self._share_of_range(),
            axis,
            None if axis is None else self._n_agreeing / self._n_answers,
        )

    def _share_of_range(self) -> float:
        if self._largest_difference == 0:
            return 0.0
        range_ = self._high - self._low  # without a number, minus infinity
        return self._largest_difference / range_ if range_ > 0 else math.inf


def largest_difference(one: Array, other: Array) -> float:
    """Of any two elements in the same place, absolute; NaN equals NaN.

    Infinity: only one of two elements is a finite number, or the shapes are different.
    """
    if one.shape != other.shape:
        return math.inf
    one, other = one.astype(np.float64), other.astype(np.float64)
    is_equal = (one == other) | (np.isnan(one) & np.isnan(other))
    with np.errstate(invalid="ignore"):  # infinity less infinity
        difference = np.where(is_equal, 0.0, np.abs(one - other))
    return float(np.max(np.where(np.isnan(difference), math.inf, difference), initial=0.0))


def class_axis(spec: TensorSpec, answer: Array) -> int | None:
    """The only axis along which there are several elements; None: no vector, or one of whole numbers, which are no scores."""
    is_real = spec.HasField("quantization") or np.issubdtype(answer.dtype, np.floating)
    long_axes = [axis for axis, size in enumerate(answer.shape) if size != 1]
    return long_axes[0] if is_real and answer.size and len(long_axes) == 1 else None

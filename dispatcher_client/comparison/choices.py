"""Whether a model that tells classes apart still chooses the same ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from dispatcher_client.answer_changes import class_axis
from protos.v1.tensor_pb2 import TensorSpec
from transport.tensor_spec import Array

FIRST = 5


@dataclass(frozen=True)
class Agreement:
    """Over some inputs; of equal scores the first one counts.

    Attributes:
        top1: share of inputs whose highest score is the same class's.
        top5: share of inputs whose exact first choice is among the five highest; None of five classes or fewer.
        changed: numbers of the inputs whose first choice is another, from 0.
    """

    inputs: int
    top1: float
    top5: float | None
    changed: tuple[int, ...]

    def __str__(self) -> str:
        text = f"the first choice agrees for {self.top1:.2%} of {self.inputs} inputs"
        return text if self.top5 is None else f"{text}, and is among the first five for {self.top5:.2%}"

    def as_json(self) -> dict[str, Any]:
        """The figures as plain values."""
        return {**vars(self), "changed": list(self.changed)}


class AgreementTally:
    """Counts the choices of one output, input by input."""

    def __init__(self, spec: TensorSpec) -> None:
        """Args: spec: of the exact values, a single input's."""
        self._spec = spec
        self._n_inputs = self._n_among = self._n_classes = 0
        self._changed: list[int] = []

    def note(self, exact: Array, found: Array) -> None:
        """Takes one input's scores into account, both real and of one shape."""
        if class_axis(self._spec, exact) is not None:
            first = int(np.argmax(exact))
            best = np.argsort(-found.reshape(-1).astype(np.float64), kind="stable")[:FIRST]
            self._n_classes = exact.size
            self._n_among += int(first in best)
            if best[0] != first:
                self._changed.append(self._n_inputs)
        self._n_inputs += 1

    def result(self) -> Agreement | None:
        """What was counted so far; None of an output that is no vector of scores."""
        if not self._n_classes:
            return None
        n = self._n_inputs
        top5 = self._n_among / n if self._n_classes > FIRST else None
        return Agreement(n, 1 - len(self._changed) / n, top5, tuple(self._changed))

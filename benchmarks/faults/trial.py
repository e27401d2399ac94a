"""One fault while a chain streams at full load; runs where the dispatcher is, in a process of its own."""

from __future__ import annotations

import itertools
import random
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.faults.faults import FAULTS, Target
from benchmarks.whole_answers import INPUTS, bits, inputs_and_answers
from bundle import open_bundle
from dispatcher_client import Dispatcher
from dispatcher_client.values import Values
from fleet.inventory import Inventory

_WARM_UP_S = 1.0
_STRIKE_WITHIN_S = 1.0
_OPEN_TIMEOUT_S = 60.0
# A chain that gives nothing for so long has lost everything.
_MOST_S = 30.0


@dataclass(frozen=True)
class TrialRequest:
    """Attributes: targets: the boards that may be struck; n_struck of them are, at once. after_s: how long to go on. started: a
    file to be written, with the names of the boards, at the moment of the fault.
    """

    bundle: Path
    inventory: Inventory
    targets: Sequence[Target]
    fault: str
    seed: int
    n_struck: int = 1
    after_s: float = 3.0
    started: str = ""


@dataclass(frozen=True)
class TrialResult:
    """Attributes: gap_s: the longest time without an answer from the fault on. usual_s: between two answers before it."""

    struck: tuple[str, ...]
    gap_s: float
    usual_s: float
    answered: int
    lost: int
    duplicated: int
    out_of_order: int
    wrong: int
    route: str
    error: str


def run_trial(request: TrialRequest) -> TrialResult:
    """Streams, strikes at a random moment, streams on, and compares every answer with the whole model's, bit for bit."""
    chance = random.Random(request.seed)
    struck = chance.sample(list(request.targets), request.n_struck)
    bundle = open_bundle(request.bundle)
    inputs, expected = inputs_and_answers(bundle)
    source = _Source(inputs, chance.uniform(0, _STRIKE_WITHIN_S) + _WARM_UP_S, request, struck)
    at_s: list[float] = []
    answers: list[bytes] = []
    error = ""
    with Dispatcher(bundle, request.inventory, insecure=True, codec="raw", open_timeout_s=_OPEN_TIMEOUT_S) as chain:
        try:
            for answer in chain.stream(source, timeout_s=_MOST_S):
                at_s.append(time.monotonic())
                answers.append(bits(answer))
        except Exception as lost:  # it is what is measured
            error = f"{type(lost).__name__}: {lost}"
        route = chain.route
    places = {answer: index for index, answer in enumerate(expected)}
    right = [answer == expected[index % INPUTS] for index, answer in enumerate(answers)]
    return TrialResult(
        struck=tuple(target.name for target in struck),
        gap_s=_longest_gap_s(at_s, source.struck_s),
        usual_s=_usual_s([at for at in at_s if at < source.struck_s]),
        answered=len(answers),
        lost=max(0, source.taken - len(answers)),
        duplicated=max(0, len(answers) - source.taken),
        out_of_order=sum(not ok and answer in places for ok, answer in zip(right, answers)),
        wrong=sum(answer not in places for answer in answers),
        route=route,
        error=error,
    )


class _Source:
    """Inputs in turn until some time after the fault, which it brings about."""

    def __init__(
        self, inputs: Sequence[Values], strike_after_s: float, request: TrialRequest, struck: Sequence[Target]
    ) -> None:
        self._inputs = inputs
        self._strike_after_s = strike_after_s
        self._request = request
        self._struck = struck
        self.taken = 0
        self.struck_s = float("inf")

    def __iter__(self) -> Iterator[Values]:
        striking = threading.Thread(target=self._strike, daemon=True)
        striking.start()
        for values in itertools.cycle(self._inputs):
            if time.monotonic() > self.struck_s + self._request.after_s:
                return
            self.taken += 1
            yield values

    def _strike(self) -> None:
        time.sleep(self._strike_after_s)
        for target in self._struck:
            FAULTS[self._request.fault](target)
        self.struck_s = time.monotonic()
        if self._request.started:
            Path(self._request.started).write_text(" ".join(target.name for target in self._struck))


def _longest_gap_s(at_s: Sequence[float], struck_s: float) -> float:
    pairs = [(a, b) for a, b in zip(at_s, at_s[1:]) if b > struck_s]
    return max((b - a for a, b in pairs), default=float("inf"))


def _usual_s(at_s: Sequence[float]) -> float:
    return (at_s[-1] - at_s[0]) / (len(at_s) - 1) if len(at_s) > 1 else float("nan")

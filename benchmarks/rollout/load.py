"""Requests at full load while two versions take turns; runs where the dispatcher is, on emulated boards in a process of its own."""

from __future__ import annotations

import itertools
import threading
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from benchmarks.whole_answers import bits, inputs_and_answers
from bundle import Bundle, open_bundle
from dispatcher_client import Dispatcher, ReplyReport
from dispatcher_client.values import Answer
from fleet.inventory import Inventory

_OPEN_TIMEOUT_S = 120.0
# Until the window has been found.
_WARM_UP_S = 2.0


class SameVersionError(Exception):
    """Nothing would change."""


@dataclass(frozen=True)
class LoadRequest:
    """Attributes: settle_s: time at full load before each change, and after the last. credentials: None for plaintext."""

    one: Path
    two: Path
    inventory: Inventory
    n_changes: int
    settle_s: float
    credentials: Path | None = None


@dataclass(frozen=True)
class LoadResult:
    """Times are of one clock.

    Attributes:
        answered_s: when each answer came.
        spans_s: of the changes.
        quiet_s: the times between them, and so one more.
        failed: requests without an answer.
        wrong: answers with other bits than both versions' whole models.
        misnamed: reports of replies that name another version than the bits of the answers.
    """

    answered_s: list[float]
    spans_s: list[tuple[float, float]]
    quiet_s: list[tuple[float, float]]
    failed: int
    wrong: int
    misnamed: int
    errors: str


def run_changes(request: LoadRequest) -> LoadResult:
    """Asks as fast as the window allows, changes the version over and over, and compares every answer, bit for bit.

    Raises: SameVersionError. DispatcherError: a change failed.
    """
    versions = [open_bundle(request.one), open_bundle(request.two)]
    load = _Load(versions)
    quiet_s, spans_s = [], []
    with Dispatcher(
        versions[0],
        request.inventory,
        credentials=request.credentials,
        insecure=request.credentials is None,
        codec="raw",
        open_timeout_s=_OPEN_TIMEOUT_S,
        on_reply=load.hear_report,
    ) as chain:
        asking = threading.Thread(target=load.ask, args=(chain,))
        asking.start()
        try:
            pause = threading.Event()
            pause.wait(_WARM_UP_S)
            ended_s = time.monotonic()
            for version in itertools.islice(itertools.cycle(reversed(versions)), request.n_changes):
                pause.wait(request.settle_s)
                begun_s = time.monotonic()
                quiet_s.append((ended_s, begun_s))
                chain.deploy(version)
                load.samples[version.deployment_id] += 1
                ended_s = time.monotonic()
                spans_s.append((begun_s, ended_s))
            pause.wait(request.settle_s)
            quiet_s.append((ended_s, time.monotonic()))
        finally:
            load.stopped.set()
            asking.join()
    load.samples[versions[0].deployment_id] += 1
    return LoadResult(
        load.answered_s, spans_s, quiet_s, load.failed, load.wrong, load.misnamed, "; ".join(sorted(load.errors))
    )


class _Load:
    """Requests from one thread; each answer's bits tell its version.

    Attributes: samples: those that the dispatcher asked for itself, whose replies are reported, too, by version.
    """

    def __init__(self, versions: Sequence[Bundle]) -> None:
        """Raises: SameVersionError."""
        self._inputs, _ = inputs_and_answers(versions[0])
        self._versions: list[dict[bytes, str]] = [{} for _ in self._inputs]  # by answer, for each input
        for version in versions:
            for by_answer, answer in zip(self._versions, inputs_and_answers(version)[1]):
                by_answer[answer] = version.deployment_id
        if any(len(set(by_answer.values())) < len(versions) for by_answer in self._versions):
            raise SameVersionError("the bundles answer alike. Give two versions of a model, with other weights.")
        self._lock = threading.Lock()
        self._asked = 0
        self._answered: Counter[str] = Counter()
        self._reported: Counter[str] = Counter()
        self.stopped = threading.Event()
        self.samples: Counter[str] = Counter()
        self.answered_s: list[float] = []
        self.wrong = 0
        self.errors: set[str] = set()

    @property
    def failed(self) -> int:
        """Once the dispatcher is closed, which ends every request."""
        return self._asked - len(self.answered_s)

    @property
    def misnamed(self) -> int:
        """Once the dispatcher is closed."""
        answered = self._answered + self.samples
        return sum(abs(self._reported[name] - answered[name]) for name in {*answered, *self._reported})

    def ask(self, chain: Dispatcher) -> None:
        """Until stopped, or an error comes before a request could be sent."""
        try:
            for index in itertools.cycle(range(len(self._inputs))):
                if self.stopped.is_set():
                    return
                self._asked += 1
                chain.submit(self._inputs[index]).add_done_callback(partial(self._hear, index))
        except Exception as error:  # it is what is measured
            self._note(error)

    def hear_report(self, report: ReplyReport) -> None:
        """Of one reply, of a sample's, too."""
        with self._lock:
            self._reported[report.deployment_id] += 1

    def _hear(self, index: int, done: Future[Answer]) -> None:
        at_s = time.monotonic()
        error = done.exception()
        if error is not None:
            self._note(error)
            return
        version = self._versions[index].get(bits(done.result()))
        with self._lock:
            self.answered_s.append(at_s)
            if version is None:
                self.wrong += 1
            else:
                self._answered[version] += 1

    def _note(self, error: BaseException) -> None:
        with self._lock:
            self.errors.add(f"{type(error).__name__}: {error}")

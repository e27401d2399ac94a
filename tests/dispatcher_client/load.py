"""An application that asks without pause, and what its answers must have been."""

from __future__ import annotations

import itertools
import threading
from collections import Counter
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from bundle import Bundle
from dispatcher_client import (
    Board,
    Dispatcher,
    ReplyReport,
)
from dispatcher_client.status import read_status
from dispatcher_client.values import Answer
from fleet.event_loop import run_in_loop
from tests.credentials import OPERATOR
from tests.dispatcher_client.whole_model import named, random_inputs, run_whole
from tests.node_service.stubs import TIMEOUT_S
from tests.transport.message_stream.by_hand import comes_true

MakeBundle = Callable[..., Bundle]
LOCK = threading.Lock()


class Load:
    """Requests from several threads and a stream, at full load, each answer compared with the whole models'."""

    def __init__(self, chain: Dispatcher, versions: list[Bundle], n_threads: int = 2) -> None:
        self._chain = chain
        self._inputs = [random_inputs(versions[0], seed) for seed in range(3)]
        answers = [[run_whole(b, x) for x in self._inputs] for b in versions]
        assert all(len({str(a[i]) for a in answers}) == len(versions) for i in range(3)), "the answer tells the version"
        self._versions = [
            {str(a[i]): b.deployment_id for a, b in zip(answers, versions)} for i in range(len(self._inputs))
        ]
        self._stop = threading.Event()
        self.errors: list[BaseException] = []
        self.answered: list[Counter[str]] = []  # by version, for each thread
        self.reported: Counter[str] = Counter()
        self._threads = [threading.Thread(target=self._run, args=(self._submit,)) for _ in range(n_threads)]
        self._threads.append(threading.Thread(target=self._run, args=(self._stream,)))

    def hear(self, report: ReplyReport) -> None:
        with LOCK:
            self.reported[report.deployment_id] += 1

    @property
    def by_version(self) -> Counter[str]:
        return sum(self.answered, Counter())

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(TIMEOUT_S)

    def wait_for(self, n_more: int) -> None:
        """Goes on once so many more requests were answered."""
        wanted = sum(self.by_version.values()) + n_more
        assert comes_true(lambda: sum(self.by_version.values()) >= wanted or bool(self.errors))

    def _run(self, answers: Callable[[], Iterator[Answer]]) -> None:
        mine: Counter[str] = Counter()
        self.answered.append(mine)
        try:
            for index, answer in enumerate(answers()):
                mine[self._versions[index % 3][str(named(self._chain, answer))]] += 1
        except BaseException as error:
            self.errors.append(error)

    def _source(self) -> Iterator[dict[str, np.ndarray]]:
        for x in itertools.cycle(self._inputs):
            if self._stop.is_set():
                return
            yield x

    def _submit(self) -> Iterator[object]:
        for x in self._source():
            yield self._chain.submit(x).result(TIMEOUT_S)

    def _stream(self) -> Iterator[object]:
        yield from self._chain.stream(self._source())


def loaded(boards: list[Board]) -> list[set[str]]:
    rows = run_in_loop(read_status(boards, credentials=OPERATOR, timeout_s=5))
    return [{stage["deployment_id"] for stage in row["stages"]} for row in rows]


def under_load(
    bundle: Bundle, boards: list[Board], versions: list[Bundle], work: Callable[[Dispatcher, Load], list[Bundle]]
) -> Load:
    """Args: work: gives the versions whose samples were answered meanwhile."""
    heard: list[Load] = []
    with Dispatcher(bundle, boards, on_reply=lambda report: heard[0].hear(report) if heard else None) as chain:
        heard.append(Load(chain, versions))
        with heard[0] as load:
            load.wait_for(20)
            samples = Counter(version.deployment_id for version in work(chain, load))
            load.wait_for(20)
    assert load.errors == []
    assert all(load.answered)
    assert load.reported == load.by_version + samples, "each report names the version whose answer came"
    return load


def refused(chain: Dispatcher, version: Bundle, kind: type[BaseException], words: str) -> None:
    before = chain.deployment_ids, chain.route
    with pytest.raises(kind, match=words):
        chain.deploy(version)
    assert (chain.deployment_ids, chain.route) == before

"""An application that streams into a journal, is killed again and again, and what became of its answers.

`python -m benchmarks.resuming BUNDLE ADDRESSES JOURNAL INPUTS SYNC_MS` is that application: it prints the index of each answer.
"""

from __future__ import annotations

import itertools
import random
import statistics
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from bundle import Bundle, open_bundle
from dispatcher_client import Dispatcher, Journal
from dispatcher_client.values import Values
from examples.local_boards import LocalBoards
from runtime import Runner, load_runtime

_INPUTS, _SHIFT = 64, 37
_ENDLESS = 10**9
_LAST_INPUTS = 40
# Start-up of Python with the imports, and opening the chain; loaded machines take longer.
_RUN_TIMEOUT_S = 120.0


@dataclass
class ResumeResult:
    """Attributes: lost_s: from each kill to the next new answer. given: how often the application was given each index."""

    inputs: int = 0
    lost: int = 0
    duplicated: int = 0
    out_of_order: int = 0
    wrong: int = 0
    kills: int = 0
    lost_s: list[float] = field(default_factory=list)
    given: Counter[int] = field(default_factory=Counter)

    @property
    def lost_p50_s(self) -> float:
        """Median."""
        return statistics.median(self.lost_s)


def inputs_of(bundle: Bundle) -> list[dict[str, np.ndarray]]:
    """Different inputs, by tensor name; the same in each process."""
    sample = bundle.load_sample()[0]
    return [{n: np.roll(x, _SHIFT * index) for n, x in sample.items()} for index in range(_INPUTS)]


def kill_and_resume(
    bundle: Bundle, boards: LocalBoards, journal: Path, kills: int, *, seed: int, within_s: float, sync_ms: float
) -> ResumeResult:
    """Kills the application at random moments, at most `within_s` after it began to stream, and at last lets it end.

    Every third kill comes at a random moment of its start instead.
    """
    chance = random.Random(seed)
    result = ResumeResult()
    killed_s = float("inf")
    for kill_index in range(kills + 1):
        is_last = kill_index == kills
        count = _recorded(journal) + _LAST_INPUTS if is_last else _ENDLESS
        run = _Run(
            [
                str(bundle.path),
                ",".join(boards.addresses),
                str(boards.credentials),
                str(journal),
                str(count),
                str(sync_ms),
            ]
        )
        if not is_last:
            if kill_index % 3 == 2:
                time.sleep(chance.uniform(0, 2 * within_s))
            else:
                run.began.wait(_RUN_TIMEOUT_S)
                time.sleep(chance.uniform(0, within_s))
            run.process.kill()
            result.kills += 1
        status = run.wait()
        if is_last and status:
            raise RuntimeError(f"the application ended with {status}: {run.error}")
        result.given.update(run.indices)
        if run.indices and killed_s < run.first_s:
            result.lost_s.append(run.first_s - killed_s)
            killed_s = float("inf")
        if not is_last:
            killed_s = min(killed_s, run.ended_s)  # of several kills without an answer between them, the first counts
        result.inputs = count
    _judge(bundle, journal, result)
    return result


def _judge(bundle: Bundle, journal: Path, result: ResumeResult) -> None:
    expected = _answers_of_whole_model(bundle)
    with Journal(journal) as opened:
        recorded = [_bits(answer) for answer in opened]
    result.lost = result.inputs - len(recorded) + len(set(result.given) - set(range(len(recorded))))
    result.duplicated = sum(count - 1 for count in result.given.values())
    is_wrong = [bits != expected[index % _INPUTS] for index, bits in enumerate(recorded)]
    result.out_of_order = sum(wrong and bits in expected for wrong, bits in zip(is_wrong, recorded))
    result.wrong = sum(is_wrong) - result.out_of_order


class _Run:
    """One life of the application; its lines are read on a thread of their own."""

    def __init__(self, arguments: Sequence[str]) -> None:
        self.indices: list[int] = []
        self.first_s = self.ended_s = float("inf")
        self.began = threading.Event()  # also if it ended before
        command = [sys.executable, "-m", "benchmarks.resuming", *arguments]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self._readers = [threading.Thread(target=read, daemon=True) for read in (self._read, self._read_error)]
        self.error = ""
        for reader in self._readers:
            reader.start()

    def wait(self) -> int:
        """Its exit status, once all that it printed is read."""
        status = self.process.wait(_RUN_TIMEOUT_S)
        self.ended_s = time.monotonic()
        for reader in self._readers:
            reader.join(_RUN_TIMEOUT_S)
        return status

    def _read(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as lines:
            for line in lines:
                if not line.endswith("\n"):
                    break  # killed while it printed
                if not self.indices:
                    self.first_s = time.monotonic()
                self.indices.append(int(line))
                self.began.set()
        self.began.set()

    def _read_error(self) -> None:
        assert self.process.stderr is not None
        with self.process.stderr as file:
            self.error = file.read()


def _recorded(journal: Path) -> int:
    with Journal(journal) as opened:
        return len(opened)


def _answers_of_whole_model(bundle: Bundle) -> list[bytes]:
    manifest = bundle.manifest
    runner = Runner(load_runtime(), bundle.file_path(manifest.whole))
    names = [spec.name for spec in manifest.inputs]
    leaving = [spec.name for spec in bundle.splittings[0].partitions[-1].leaving]
    answers = []
    for values in inputs_of(bundle):
        outputs = dict(zip(leaving, runner.run([values[name] for name in names])))
        answers.append(b"".join(outputs[spec.name].tobytes() for spec in manifest.outputs))
    return answers


def _bits(answer: object) -> bytes:
    arrays = answer.values() if isinstance(answer, dict) else [answer]
    return b"".join(np.asarray(array).tobytes() for array in arrays)


def _source(bundle: Bundle, count: int) -> Iterator[Values]:
    yield from itertools.islice(itertools.cycle(inputs_of(bundle)), count)


def main(arguments: Sequence[str]) -> None:
    """The application that is killed."""
    path, addresses, credentials, journal_path, count, sync_ms = arguments
    bundle = open_bundle(path)
    with (
        Journal(journal_path, sync_ms=float(sync_ms)) as journal,
        Dispatcher(bundle, addresses.split(","), credentials=credentials, codec="raw") as chain,
    ):
        for _ in chain.stream(_source(bundle, int(count)), journal=journal):
            print(len(journal) - 1, flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])

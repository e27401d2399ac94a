"""Boards are killed, restarted, frozen and let go on at random: every input has the whole model's answer or a typed error, in time.

For longer, and again with the same faults: pytest tests/dispatcher_client/test_chaos.py --chaos-s 3600 --chaos-seed 7
"""

from __future__ import annotations

import itertools
import random
import signal
import threading
import time
from collections import Counter, deque
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path

import pytest

from bundle import Bundle
from dispatcher_client import Dispatcher
from dispatcher_client.errors import DispatcherError
from dispatcher_client.values import Answer
from fleet.inventory import Inventory
from tests.dispatcher_client.whole_model import named, random_inputs, run_whole
from tests.freezing import freeze
from tests.lasting_boards import LastingBoards
from tests.transport.message_stream.by_hand import comes_true

MakeBundle = Callable[..., Bundle]
N_BOARDS = 4  # three stages and a spare
REQUEST_TIMEOUT_S = 20.0
# Beyond its time-out a future may end later only by what a busy machine lets a thread wait.
SLACK_S = 10.0
MOST_OUTSTANDING = 12
# No board's proof takes longer.
LONGEST_PROOF_S = 120.0


class Striker:
    """Strikes a board, two or all at a time, and heals them, until it is stopped. What it does follows from the seed alone."""

    def __init__(self, running: LastingBoards, seed: int) -> None:
        self._running = running
        self._random = random.Random(seed)
        self._stopped = threading.Event()
        self.done: Counter[str] = Counter()
        self.failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """All boards serve again."""
        self._stopped.set()
        self._thread.join()
        if self.failure is not None:
            raise self.failure

    def _run(self) -> None:
        try:
            while not self._stopped.wait(self._random.uniform(0.2, 3)):
                self._strike()
        except BaseException as error:
            self.failure = error

    def _strike(self) -> None:
        chosen = self._random.sample(range(N_BOARDS), self._random.choice([1, 1, 1, 1, 2, 2, N_BOARDS]))
        faults = [(index, self._random.choice(["kill", "kill and empty", "freeze"])) for index in chosen]
        pause_s = self._random.uniform(0.05, 3)
        for index, fault in faults:
            process = self._running.boards[index].process
            freeze(process) if fault == "freeze" else process.kill()
            self.done[fault] += 1
        self._stopped.wait(pause_s)
        for index, fault in faults:
            if fault == "freeze":
                self._running.boards[index].process.send_signal(signal.SIGCONT)
            else:
                self._running.restart(index, empties=fault != "kill")


class Oracle:
    """Asks, and compares every answer with the whole model's."""

    def __init__(self, chain: Dispatcher, bundle: Bundle) -> None:
        self._chain = chain
        inputs = [random_inputs(bundle, seed) for seed in range(5)]
        self._questions = itertools.cycle([(x, run_whole(bundle, x)) for x in inputs])
        self._out: deque[tuple[Future[Answer], dict[str, bytes], float]] = deque()
        self.answered = 0
        self.errors: Counter[str] = Counter()

    def ask(self) -> None:
        x, expected = next(self._questions)
        self._out.append((self._chain.submit(x, REQUEST_TIMEOUT_S), expected, time.monotonic()))
        if len(self._out) == MOST_OUTSTANDING:
            self.check()

    def check(self) -> None:
        """The oldest answer."""
        future, expected, asked_s = self._out.popleft()
        try:
            answer = future.result(max(0.0, asked_s + REQUEST_TIMEOUT_S + SLACK_S - time.monotonic()))
        except DispatcherError as error:
            self.errors[type(error).__name__] += 1
            comes_true(lambda: "broken" not in repr(self._chain), 0.2)  # while all boards are gone, errors come at once
        else:
            assert named(self._chain, answer) == expected
            self.answered += 1

    def check_all(self) -> None:
        while self._out:
            self.check()


@pytest.mark.timeout(0)
def test_every_input_has_its_answer_or_a_typed_error_whatever_befalls_the_boards(
    pytestconfig: pytest.Config, store_root: Path, zoo_bundle: MakeBundle
) -> None:
    duration_s, given = pytestconfig.getoption("--chaos-s"), pytestconfig.getoption("--chaos-seed")
    seed = random.SystemRandom().randrange(10**6) if given is None else given
    print(f"--chaos-seed {seed}")
    bundle = zoo_bundle("residual", "float32")
    others = set(threading.enumerate())
    with LastingBoards(N_BOARDS, store_root) as running:
        with Dispatcher(bundle, Inventory(tuple(running.named), spares=(f"board{N_BOARDS}",))) as chain:
            oracle, striker = Oracle(chain, bundle), Striker(running, seed)
            try:
                end_s = time.monotonic() + duration_s
                while time.monotonic() < end_s and striker.failure is None:
                    oracle.ask()
                oracle.check_all()
            finally:
                striker.stop()
            print(
                f"{oracle.answered} answers, errors {dict(oracle.errors)}, faults {dict(striker.done)}, {chain.route}"
            )
            struck = oracle.answered
            assert sum(oracle.errors.values()) < max(struck, 1)
            # Now that all boards are there, the chain serves, at the latest after a proof.
            end_s = time.monotonic() + LONGEST_PROOF_S + SLACK_S
            while oracle.answered < struck + 20 and time.monotonic() < end_s:
                oracle.ask()
            oracle.check_all()
            assert oracle.answered >= struck + 20
        assert comes_true(lambda: not left_threads(others), 30), left_threads(others)


def left_threads(others: set[threading.Thread]) -> list[str]:
    """Threads that a dispatcher has left behind; the event loop is everybody's."""
    names = [thread.name for thread in threading.enumerate() if thread not in others]
    return [name for name in names if name.startswith("boardline-") and name != "boardline-dispatcher"]

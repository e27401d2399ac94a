"""Streams frames until it is told to end, and prints what became of them: BUNDLE BOARDS CREDENTIALS.

Every answer is compared with the whole model's, bit for bit, on this machine.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bundle import open_bundle
from dispatcher_client import Dispatcher
from tests.dispatcher_client.whole_model import named, random_inputs, run_whole

SILENCE_S = 10.0  # as long as an emulated board may have no time for a sign of life while systemd reads its units
_KINDS = 7  # of inputs, which take turns
_MOST_S = 240.0
_PAUSE_S = 0.1  # between frames: an emulated board that computes all the time takes minutes for a playbook's every step


class Listener(threading.Thread):
    """Hears what the test wants, a line each: `until N` answers are there, or `end`."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.is_over = threading.Event()
        self._answered = 0
        self._more = threading.Condition()

    def note(self, answered: int) -> None:
        """So many answers are there."""
        with self._more:
            self._answered = answered
            self._more.notify()

    def run(self) -> None:
        for line in sys.stdin:
            word, _, number = line.strip().partition(" ")
            if word == "end":
                break
            wanted = int(number)
            with self._more:
                came = self._more.wait_for(lambda: self._answered >= wanted, _MOST_S)  # noqa: B023 - called here only
            print("there" if came else f"{self._answered} of {wanted} after {_MOST_S:g} s", flush=True)
        self.is_over.set()


def main() -> None:
    """Prints JSON at the end."""
    bundle, boards, credentials = open_bundle(Path(sys.argv[1])), sys.argv[2], Path(sys.argv[3])
    inputs = [random_inputs(bundle, seed) for seed in range(_KINDS)]
    expected = [run_whole(bundle, x) for x in inputs]
    listener = Listener()
    sent = 0

    def frames() -> Iterator[dict[str, Any]]:
        nonlocal sent
        while not listener.is_over.is_set():
            sent += 1
            time.sleep(_PAUSE_S)
            yield inputs[(sent - 1) % _KINDS]

    answered = wrong = 0
    error = ""
    listener.start()
    with Dispatcher(bundle, boards, credentials=credentials, silence_s=SILENCE_S) as chain:
        try:
            for answer in chain.stream(frames()):
                wrong += named(chain, answer) != expected[answered % _KINDS]
                answered += 1
                listener.note(answered)
        except Exception as failure:
            error = f"{type(failure).__name__}: {failure}"
    print(json.dumps({"sent": sent, "answered": answered, "wrong": wrong, "error": error}))


if __name__ == "__main__":
    main()

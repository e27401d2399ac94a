"""Streams frames until standard input ends, and prints what became of them: BUNDLE BOARDS CREDENTIALS.

Every answer is compared with the whole model's, bit for bit, on this machine.
"""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bundle import open_bundle
from dispatcher_client import Dispatcher
from tests.dispatcher_client.whole_model import named, random_inputs, run_whole

_KINDS = 7  # of inputs, which take turns


def main() -> None:
    """Prints `streaming` once the first answer is there, and JSON at the end."""
    bundle, boards, credentials = open_bundle(Path(sys.argv[1])), sys.argv[2], Path(sys.argv[3])
    inputs = [random_inputs(bundle, seed) for seed in range(_KINDS)]
    expected = [run_whole(bundle, x) for x in inputs]
    over = threading.Event()
    sent = 0

    def frames() -> Iterator[dict[str, Any]]:
        nonlocal sent
        while not over.is_set():
            sent += 1
            yield inputs[(sent - 1) % _KINDS]

    threading.Thread(target=lambda: (sys.stdin.readline(), over.set()), daemon=True).start()
    answered = wrong = 0
    error = ""
    with Dispatcher(bundle, boards, credentials=credentials) as chain:
        try:
            for answer in chain.stream(frames()):
                wrong += named(chain, answer) != expected[answered % _KINDS]
                answered += 1
                if answered == 1:
                    print("streaming", flush=True)
        except Exception as failure:
            error = f"{type(failure).__name__}: {failure}"
    print(json.dumps({"sent": sent, "answered": answered, "wrong": wrong, "error": error}))


if __name__ == "__main__":
    main()

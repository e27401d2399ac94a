"""The child's end of a worker process: JSON lines in, JSON lines out. Nothing here may import grpc."""

from __future__ import annotations

import json
import os
import queue
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

_SELF_OOM_SCORE = Path("/proc/self/oom_score_adj")
_FIRST_CHOICE = "1000"


def answer_requests(answer: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    """Answers the requests on standard input; at its end the process ends, even in the middle of an answer."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what the runtime prints goes to the log, not between the answers
    requests = _requests()
    while True:
        print(json.dumps(answer(json.loads(requests.get()))), file=answers, flush=True)


def offer_to_the_oom_killer() -> None:
    """A model too big for the board should cost this process, not the service."""
    try:
        _SELF_OOM_SCORE.write_text(_FIRST_CHOICE)
    except OSError:
        print("the out-of-memory killer may take the service instead of this process", file=sys.stderr)


def _requests() -> queue.Queue[str]:
    lines: queue.Queue[str] = queue.Queue(maxsize=1)  # the service asks again only after an answer

    def read() -> None:
        for line in sys.stdin:
            lines.put(line)
        os._exit(0)

    threading.Thread(target=read, daemon=True).start()
    return lines

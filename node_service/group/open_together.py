"""Opens streams to several boards at the same time: none waits until the board before it has answered."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Mapping
from typing import Optional

from node_service.next_board import NextBoard


def open_together(boards: Mapping[int, NextBoard], open_one: Callable[[int], None]) -> None:
    """Opens all, each on a thread of its own. Those that are open stay so, whatever becomes of the others.

    Raises: what the first to fail has raised. All have ended then: those that were under way are given up.
    """
    ended: queue.SimpleQueue[Optional[BaseException]] = queue.SimpleQueue()

    def run(place: int) -> None:
        try:
            open_one(place)
            ended.put(None)
        except BaseException as error:
            ended.put(error)

    for place in boards:
        threading.Thread(target=run, args=(place,), name="boardline-open", daemon=True).start()
    first = None
    for _ in boards:
        error = ended.get()
        if first is None and error is not None:
            first = error
            for board in boards.values():
                if not board.is_open:
                    board.abort()
    if first is not None:
        raise first

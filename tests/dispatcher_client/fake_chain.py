"""A chain that answers when a test says so: for what happens when a chain breaks at a moment that no network would hit."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from types import SimpleNamespace
from typing import Any

import numpy as np

from dispatcher_client.deadlines import Deadline
from dispatcher_client.errors import ChainClosedError, DispatcherError
from dispatcher_client.lane import Lane
from transport.tensor_spec import Array

Answer = Any


def post(lane: Lane, value: int, timeout_s: float = 60, **how: Any) -> Future[Answer]:
    """A request that a fake chain answers with `[value]`."""
    return lane.post([np.array(value)], Deadline.after(timeout_s), **how)


class FakeChain:
    """As much of `Chain` as a lane and a recovery use."""

    def __init__(self, placement: Any = None, opens: Callable[[FakeChain], None] = lambda chain: None) -> None:
        self.placement = placement or SimpleNamespace(stages=(), route="")
        self.failure: DispatcherError | None = None
        self.posted: list[tuple[int, Future[Answer]]] = []
        self.room = threading.Event()  # `post` waits for it, as for a stream that takes nothing
        self.room.set()
        self.closed = threading.Event()
        self._opens = opens
        self._on_break: Callable[[DispatcherError], None] | None = None

    async def open(self, timeout_s: float) -> list[str]:
        self._opens(self)
        return []

    def post(self, arrays: Sequence[Array], deadline: Deadline) -> Future[Answer]:
        future: Future[Answer] = Future()
        self.room.wait(deadline.left_s)
        if self.failure is not None:
            future.set_exception(self.failure)
        else:
            self.posted.append((int(arrays[0]), future))
        return future

    def when_broken(self, on_break: Callable[[DispatcherError], None]) -> None:
        self._on_break = on_break
        if self.failure is not None:
            on_break(self.failure)

    def break_(self, error: DispatcherError) -> None:
        """As `Chain`: first whoever mends hears, then each request."""
        self.failure = error
        self.room.set()
        if self._on_break is not None:
            self._on_break(error)
        self.fail_all(error)

    def fail_all(self, error: DispatcherError) -> None:
        for _, future in self.posted:
            if not future.done():
                future.set_exception(error)

    async def close(self) -> None:
        self.failure = self.failure or ChainClosedError("the chain was closed.")
        self.room.set()
        self.fail_all(self.failure)
        self.closed.set()

    @property
    def outstanding(self) -> list[int]:
        return [value for value, future in self.posted if not future.done()]

    def answer_all(self) -> None:
        for value, future in self.posted:
            if not future.done():
                future.set_result([value])

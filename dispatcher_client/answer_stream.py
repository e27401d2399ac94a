"""Many inputs, overlapped, with their answers in the inputs' order."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future
from typing import Protocol, TypeVar

_In = TypeVar("_In")
_Out = TypeVar("_Out")


class RoomAhead(Protocol):
    """What a stream asks of `Windows`."""

    def room_ahead(self) -> int:
        """How many answers may be outstanding or unread."""

    def wait_until(self, is_so: Callable[[], bool]) -> None:
        """Waits for a claim about the windows, or about anything whose changes are told by `wake`."""

    def wake(self) -> None:
        """Has every waiting thread look again."""


def stream_in_order(
    inputs: Iterable[_In],
    submit: Callable[[_In], Future[_Out]],
    windows: RoomAhead,
    *,
    inputs_per_frame: int = 1,
    weigh: Callable[[_In], int] = lambda value: 1,
    on_end: Callable[[], None] = lambda: None,
) -> Generator[_Out, None, None]:
    """Answers in order; an input is taken only while fewer than `windows.room_ahead()` frames are outstanding or unread.

    Inputs are taken on a thread of its own, so a slow source (a camera) does not hold up answers that are ready. If the
    stream is left early while the source is waiting for its next input, that thread ends when the source gives one; what was
    submitted and not read is cancelled.
    Args:
        inputs_per_frame: how many inputs of weight 1 share a frame.
        weigh: how many of them an input counts for.
        on_end: called when the last input was submitted, so that it need not wait for others to fill its frame.
    Raises: what `submit` and its futures raise, at the place of the input that caused it; what `inputs` raises.
    """
    # Bounded by the room ahead.
    results: queue.Queue[tuple[Future[_Out], int] | BaseException | None] = queue.Queue()
    taken = read = 0  # each is written by one thread only
    stopped = threading.Event()

    def has_room() -> bool:
        return stopped.is_set() or taken - read < windows.room_ahead() * inputs_per_frame

    def feed() -> None:
        nonlocal taken
        try:
            source = iter(inputs)
            while True:
                windows.wait_until(has_room)
                if stopped.is_set():
                    return
                try:
                    value = next(source)
                except StopIteration:
                    on_end()
                    results.put(None)
                    return
                weight = weigh(value)
                taken += weight
                results.put((submit(value), weight))
                if stopped.is_set():
                    cancel_unread()
        except BaseException as error:
            results.put(error)

    def cancel_unread() -> None:
        """Nobody waits for what was submitted and not read."""
        with contextlib.suppress(queue.Empty):
            while True:
                unread = results.get_nowait()
                if isinstance(unread, tuple):
                    unread[0].cancel()

    threading.Thread(target=feed, name="boardline-stream", daemon=True).start()
    try:
        while (item := results.get()) is not None:
            if isinstance(item, BaseException):
                raise item
            future, weight = item
            answer = future.result()
            read += weight
            windows.wake()
            yield answer
    finally:
        stopped.set()
        windows.wake()
        cancel_unread()

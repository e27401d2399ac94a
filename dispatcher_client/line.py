"""A line in which requests wait for a thread that sends them, so that those who ask never wait themselves."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from dispatcher_client.deadlines import Deadline, Deadlines
from dispatcher_client.door import Door
from dispatcher_client.errors import ChainClosedError, late
from fleet.event_loop import delivers_answers

_T = TypeVar("_T")


@dataclass(frozen=True)
class _Place:
    send: Callable[[], Future[Any]]
    answer: Future[Any]
    deadline: Deadline
    is_counted: bool


class Line:
    """Sends requests in the order in which they came, on threads of its own. Thread-safe; `join` never blocks.

    Sending blocks while the windows are full and while a slow link takes a frame. Who leaves the line, because the answer is
    cancelled or its time is over, is forgotten at once and was never sent.
    """

    def __init__(self, n_threads: int, door: Door, free_places: Callable[[], int]) -> None:
        """Args:
        n_threads: one for each chain: the slow link of one does not keep those waiting for whom another has room.
        door: where those who wait are counted. free_places: for how many of them there is room in the windows.
        """
        self._door = door
        self._free_places = free_places
        self._keys = itertools.count()
        self._places: dict[int, _Place] = {}  # in order; whoever takes one out of it ends its answer
        self._deadlines = Deadlines(self._expire)
        self._is_closed = False
        self._changed = threading.Condition()
        self._threads = [
            threading.Thread(target=self._run, name="boardline-line", daemon=True) for _ in range(n_threads)
        ]
        for thread in self._threads:
            thread.start()

    def join(self, send: Callable[[], Future[_T]], deadline: Deadline, *, is_counted: bool = True) -> Future[_T]:
        """Has a request sent when its turn comes; the future ends as the one does that `send` gives, or with what it raises.

        Args: is_counted: at the door. The others are bounded by whoever asks.
        Raises: ChainClosedError: closed. OverloadedError: too many wait.
        """
        answer: Future[_T] = Future()
        key = next(self._keys)
        with self._changed:
            if self._is_closed:
                raise ChainClosedError("the chain was closed.")
            if is_counted:
                self._door.enter(self._free_places())
            self._places[key] = _Place(send, answer, deadline, is_counted)
            self._deadlines.set(key, deadline)
            self._changed.notify()
        answer.add_done_callback(partial(self._leave, key))
        return answer

    def close(self) -> None:
        """Takes no more requests; those in the line end with ChainClosedError."""
        with self._changed:
            self._is_closed = True
            left = [place for key in list(self._places) if (place := self._pop(key))]
            self._changed.notify_all()
        for place in left:
            _fail(place.answer, ChainClosedError("the chain was closed before the request was sent."))

    def wait_until_left(self) -> None:
        """After `close`: until the requests are sent that threads were at. They have deadlines, and so has this."""
        for thread in self._threads:
            thread.join()
        self._deadlines.close()

    def _run(self) -> None:
        delivers_answers()  # errors, to futures whose callbacks may be an application's
        while (place := self._take()) is not None:
            try:
                sent = place.send()
            except BaseException as error:
                _fail(place.answer, error)
                continue
            place.answer.add_done_callback(partial(_cancel, sent))
            sent.add_done_callback(partial(_pass_on, place.answer))

    def _take(self) -> _Place | None:
        with self._changed:
            # Without a time limit: `close` ends it.
            self._changed.wait_for(lambda: self._places or self._is_closed)
            return self._pop(next(iter(self._places))) if self._places else None

    def _pop(self, key: int) -> _Place | None:
        """The request, for the one caller that goes on with it; None: another one does."""
        with self._changed:  # its owner may take it again
            place = self._places.pop(key, None)
        if place is not None:
            self._deadlines.cancel(key)
            if place.is_counted:
                self._door.leave()
        return place

    def _leave(self, key: int, answer: Future[Any]) -> None:
        if answer.cancelled():
            self._pop(key)

    def _expire(self, key: int) -> None:
        place = self._pop(key)
        if place is not None:
            _fail(place.answer, late(place.deadline.timeout_s, "because the window stayed full"))


def _cancel(sent: Future[Any], answer: Future[Any]) -> None:
    if answer.cancelled():
        sent.cancel()


def _pass_on(answer: Future[Any], sent: Future[Any]) -> None:
    if sent.cancelled():  # with the answer
        return
    error = sent.exception()
    if error is not None:
        _fail(answer, error)
    elif answer.set_running_or_notify_cancel():
        answer.set_result(sent.result())


def _fail(answer: Future[Any], error: BaseException) -> None:
    if answer.set_running_or_notify_cancel():
        answer.set_exception(error)

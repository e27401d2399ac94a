"""The one event loop thread that all dispatchers of a process share, for callers that have no loop of their own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar

from fleet.errors import CallbackError

_T = TypeVar("_T")
# A board answers in milliseconds; one that does not must not keep a user who has pressed Ctrl-C.
_TIDYING_TIMEOUT_S = 10.0
_lock = threading.Lock()
_loop: asyncio.AbstractEventLoop | None = None
_this_thread = threading.local()
_thread: threading.Thread | None = None


def shared_loop() -> asyncio.AbstractEventLoop:
    """The running loop; its daemon thread is started by the first call and ends with the process."""
    global _loop, _thread
    with _lock:
        if _loop is None:
            _loop = asyncio.new_event_loop()
            _thread = threading.Thread(target=_loop.run_forever, name="boardline-dispatcher", daemon=True)
            _thread.start()
        return _loop


def delivers_answers() -> None:
    """Says that the calling thread runs callbacks of applications, as the loop's own does."""
    _this_thread.delivers_answers = True


def require_other_thread(what: str) -> None:
    """Raises CallbackError on a thread that delivers answers, where waiting for one would be waiting for ever."""
    if threading.current_thread() is _thread or getattr(_this_thread, "delivers_answers", False):
        raise CallbackError(
            f"{what} was called from a callback of a future or from on_reply, which run on the thread that would have to "
            "do it. Hand the work to a thread of your own, or use stream()."
        )


def run_in_loop(work: Coroutine[Any, Any, _T]) -> _T:
    """Runs a coroutine in the shared loop and waits for it.

    If the wait is interrupted (Ctrl-C), the work is cancelled and has up to ten seconds to tidy up: the loop's thread ends
    with the process, and what the work has put on boards would stay there. A second interruption ends that wait too.
    """
    loop, over = shared_loop(), threading.Event()
    tasks: list[asyncio.Task[_T]] = []

    def begin() -> None:
        tasks.append(loop.create_task(work))
        tasks[0].add_done_callback(end)

    def end(task: asyncio.Task[_T]) -> None:
        if not task.cancelled():
            task.exception()  # nobody may be left to ask, which the loop would complain of
        over.set()

    loop.call_soon_threadsafe(begin)
    try:
        over.wait()
    except BaseException:
        loop.call_soon_threadsafe(lambda: tasks[0].cancel())
        over.wait(_TIDYING_TIMEOUT_S)
        raise
    return tasks[0].result()

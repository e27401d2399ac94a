"""The one event loop thread that all dispatchers of a process share, for callers that have no loop of their own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar

from fleet.errors import CallbackError

_T = TypeVar("_T")
_lock = threading.Lock()
_loop: asyncio.AbstractEventLoop | None = None
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


def require_other_thread(what: str) -> None:
    """Raises CallbackError on the loop's own thread, where waiting for anything would be waiting for ever."""
    if threading.current_thread() is _thread:
        raise CallbackError(
            f"{what} was called from a callback of a future or from on_reply, which run on the thread that would have to "
            "do it. Hand the work to a thread of your own, or use stream()."
        )


def run_in_loop(work: Coroutine[Any, Any, _T]) -> _T:
    """Runs a coroutine in the shared loop and waits for it; if the wait is interrupted, the work is cancelled."""
    future = asyncio.run_coroutine_threadsafe(work, shared_loop())
    try:
        return future.result()
    except BaseException:
        future.cancel()
        raise

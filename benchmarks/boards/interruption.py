"""Signals that would end the process without cleaning up, turned into ones that clean up."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

_ENDING = (signal.SIGTERM, signal.SIGHUP)  # SIGINT raises KeyboardInterrupt by itself


class ExitOnSignal:
    """While begun, SIGTERM and SIGHUP raise SystemExit in the main thread, unless the application handles them itself."""

    def __init__(self) -> None:
        self._replaced: list[signal.Signals] = []

    def begin(self) -> None:
        """Replaces the default handlers. Off the main thread, where Python allows no handlers, does nothing."""
        if _is_main_thread():
            self._replaced = [s for s in _ENDING if signal.getsignal(s) is signal.SIG_DFL]
            for number in self._replaced:
                signal.signal(number, _exit)

    def end(self) -> None:
        """Puts the default handlers back."""
        if _is_main_thread():
            while self._replaced:
                signal.signal(self._replaced.pop(), signal.SIG_DFL)


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Holds back Ctrl-C and the like until the work inside, which must be bounded, is done.

    By handlers and not by a signal mask: a mask is one thread's, and the signal would come by way of another.
    """
    if not _is_main_thread():  # Python interrupts the main thread only
        yield
        return
    came: list[int] = []
    before = {s: signal.signal(s, lambda number, _: came.append(number)) for s in (signal.SIGINT, *_ENDING)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        if came:
            signal.raise_signal(came[0])


def _is_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()


def _exit(number: int, _: FrameType | None) -> NoReturn:
    sys.exit(128 + number)

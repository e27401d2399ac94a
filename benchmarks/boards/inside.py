"""Runs commands and functions inside a namespace.

Always in a process of its own. A process cannot move as a whole: setns() moves one thread, and a gRPC that was used before
opens its sockets on threads that stay where they were: a Dispatcher then does not find its boards.
With nsenter and not `ip netns exec`, which hides /sys/fs/cgroup, where a node service reads its limits.
"""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import pickle
import traceback
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, TypeVar

from benchmarks.boards.errors import CallError

_T = TypeVar("_T")
_CLONE_NEWNET = 0x40000000
# Joins the groups ("0" is the process that writes), then becomes the command. "--" ends the list of groups.
_JOIN = 'while [ "$1" != -- ]; do echo 0 > "$1" || exit 125; shift; done; shift; exec "$@"'


def command_inside(namespace: Path, argv: Sequence[str], join_files: Sequence[Path] = ()) -> list[str]:
    """A command line that runs `argv` in the namespace and in the cgroups; the process keeps its number throughout."""
    entered = ["nsenter", f"--net={namespace}", "--", *argv]
    return ["sh", "-c", _JOIN, "sh", *map(str, join_files), "--", *entered] if join_files else entered


def call_inside(namespace: Path, function: Callable[..., _T], args: Sequence[Any], timeout_s: float) -> _T:
    """What function(*args) returns or raises, called in a new Python process in the namespace. All of it is pickled.

    Raises: CallError: no answer in time, or the process ended without one.
    """
    context = multiprocessing.get_context("spawn")  # a forked child would inherit locks that gRPC's threads hold
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_answer, args=(namespace, function, args, sender), daemon=True)
    process.start()
    sender.close()  # the child's copy is the last: its end ends the wait
    try:
        if not receiver.poll(timeout_s):
            raise CallError(f"{function.__qualname__} gave no answer within {timeout_s:g} s and was ended.")
        result, error, trace = pickle.loads(receiver.recv_bytes())
    except EOFError:
        process.join()
        raise CallError(f"{function.__qualname__}: its process ended with {process.exitcode}.") from None
    finally:
        process.kill()
        process.join()
        receiver.close()
    if error is not None:
        raise error from CallError(f"raised inside the namespace:\n{trace}")
    return result  # type: ignore[no-any-return]


def _answer(namespace: Path, function: Callable[..., Any], args: Sequence[Any], sender: Connection) -> None:
    try:
        _enter(namespace)
        answer = pickle.dumps((function(*args), None, ""))
    except Exception as error:
        answer = pickle.dumps((None, _portable(error), traceback.format_exc()))
    sender.send_bytes(answer)


def _portable(error: Exception) -> Exception:
    """The error itself, or its text where it cannot be pickled and made anew, as those cannot whose arguments differ."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return CallError(f"{type(error).__name__}: {error}")
    return error


def _enter(namespace: Path) -> None:
    """Moves the calling thread, and all threads that it will start, into the namespace."""
    handle = os.open(namespace, os.O_RDONLY)
    try:
        # os.setns() is in Python 3.12 and later.
        if ctypes.CDLL(None, use_errno=True).setns(handle, _CLONE_NEWNET) != 0:
            number = ctypes.get_errno()
            raise OSError(number, f"cannot enter the namespace: {os.strerror(number)}", str(namespace))
    finally:
        os.close(handle)

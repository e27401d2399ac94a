"""Runs the TensorFlow worker as a child process and turns its failures into typed errors."""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from converter import errors
from converter.errors import ConversionFailedError, ConverterError
from converter.model_source import SourceKind
from converter.worker_request import ANSWER_FILE, LOG_FILE, WorkerAnswer, WorkerRequest

OnProgress = Callable[[str, "float | None"], None]
_REQUEST_FILE = "request.json"
_LOG_TAIL_LINES = 30
_EXIT_GRACE_S = 60.0  # the pipe closes when the child ends, so this bound is never reached


def run_worker(request: WorkerRequest, *, timeout_s: float, on_progress: OnProgress) -> WorkerAnswer:
    """Converts in a child process and returns what it found out about the model.

    The child writes nothing to this process's standard streams; TensorFlow's output goes to a
    log file in the work directory. The child is ended when this function is left in any way.

    Raises:
        ConverterError: what the child raised, or ConversionFailedError when it crashed or took
            longer than `timeout_s`.
    """
    deadline = time.monotonic() + timeout_s
    log = request.work_dir / LOG_FILE
    with _started(request, log) as (process, progress_fd):
        error = _follow(progress_fd, deadline, timeout_s, log, on_progress)
        status = process.wait(_EXIT_GRACE_S)
    if error is not None:
        raise error
    if status != 0:
        raise ConversionFailedError(f"TensorFlow {_ending(status)}. See {log}.", _tail(log))
    return WorkerAnswer.from_json((request.work_dir / ANSWER_FILE).read_text(encoding="utf-8"))


@contextlib.contextmanager
def _started(request: WorkerRequest, log: Path) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    request_file = request.work_dir / _REQUEST_FILE
    request_file.write_text(request.to_json(), encoding="utf-8")
    read_fd, write_fd = os.pipe()
    command = [sys.executable, "-m", "converter.tensorflow_worker", str(request_file)]
    try:
        with log.open("wb") as log_file:
            process = subprocess.Popen(
                [*command, str(write_fd)],
                stdin=subprocess.PIPE,  # its closing tells the child that we are gone
                stdout=log_file,
                stderr=subprocess.STDOUT,
                pass_fds=[write_fd],
                env=_environment(request.kind),
                start_new_session=True,  # Ctrl-C reaches us only, and we end the child
            )
    except BaseException:
        os.close(read_fd)
        raise
    finally:
        os.close(write_fd)
    try:
        yield process, read_fd
    finally:
        process.kill()
        process.communicate()
        os.close(read_fd)


def _environment(kind: SourceKind) -> dict[str, str]:
    package_root = str(Path(__file__).resolve().parent.parent)
    paths = [package_root, *filter(None, [os.environ.get("PYTHONPATH")])]
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(paths),
        "KERAS_BACKEND": "tensorflow",
        "TF_USE_LEGACY_KERAS": "1" if kind is SourceKind.KERAS2 else "0",
        "CUDA_VISIBLE_DEVICES": "-1",  # converting needs no GPU and must not take its memory
    }


def _follow(
    progress_fd: int, deadline: float, timeout_s: float, log: Path, on_progress: OnProgress
) -> ConverterError | None:
    """Passes progress on until the child closes its end; returns the error it reported, if any."""
    error: ConverterError | None = None
    for message in _messages(progress_fd, deadline):
        if message is None:
            raise ConversionFailedError(
                f"the conversion took longer than {timeout_s:g} s and was ended. Allow more time or see {log}.",
                _tail(log),
            )
        if "error" in message:
            error = _rebuild(message, log)
        else:
            on_progress(message["progress"], message["fraction"])
    return error


def _messages(progress_fd: int, deadline: float) -> Iterator[dict[str, Any] | None]:
    """Yields the child's messages, and None once the deadline has passed."""
    pending = b""
    with selectors.DefaultSelector() as selector:
        selector.register(progress_fd, selectors.EVENT_READ)
        while True:
            if not selector.select(max(0.0, deadline - time.monotonic())):
                yield None
            chunk = os.read(progress_fd, 65536)
            if not chunk:
                return
            *lines, pending = (pending + chunk).split(b"\n")
            yield from map(json.loads, lines)


def _rebuild(message: dict[str, Any], log: Path) -> ConverterError:
    kind: type[ConverterError] = getattr(errors, message["error"])
    if issubclass(kind, ConversionFailedError):
        return kind(f"{message['message']} See {log}.", _tail(log))
    return kind(message["message"])


def _ending(status: int) -> str:
    if status == -signal.SIGKILL:
        return "was killed while converting the model, most likely for lack of memory"
    if status < 0:
        return f"crashed with {signal.Signals(-status).name} while converting the model"
    return f"failed unexpectedly (exit status {status}) while converting the model"


def _tail(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    return "\n".join(lines[-_LOG_TAIL_LINES:])

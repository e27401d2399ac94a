"""Runs one conversion: `python -m converter.tensorflow_worker REQUEST.json PROGRESS_FD`."""

from __future__ import annotations

import os
import sys
import threading
import traceback
from pathlib import Path

from converter.errors import ConverterError
from converter.tensorflow_worker.progress import Reporter
from converter.worker_request import WorkerRequest


def _end_with_parent() -> None:
    """Ends this process when standard input closes, that is, when the parent is gone."""
    while os.read(0, 4096):  # not sys.stdin: a thread inside it aborts the interpreter's shutdown
        pass
    os._exit(1)


def main(request_file: str, progress_fd: str) -> int:
    """Returns 0 when the answer was written, 1 when the error was reported to the parent."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    reporter = Reporter(int(progress_fd))
    try:
        request = WorkerRequest.from_json(Path(request_file).read_text(encoding="utf-8"))
        reporter.progress("starting TensorFlow")
        # Imported late: it takes seconds, and the parent should hear from us before.
        from converter.tensorflow_worker.job import run_job

        run_job(request, reporter)
    except ConverterError as error:
        traceback.print_exc()  # into the log file, for whoever must look closer
        reporter.error(error)
        return 1
    return 0


if __name__ == "__main__":
    status = main(*sys.argv[1:])
    sys.stdout.flush()
    sys.stderr.flush()
    # Not sys.exit: TensorFlow's tear-down takes up to a second and can crash after the work.
    os._exit(status)

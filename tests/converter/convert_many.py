"""Runs many conversions in one process: `python convert_many.py PLAN.json`.

The plan is a list of worker requests; a refused one leaves `error.json` in its work directory.
Importing TensorFlow takes longer than converting a small model, so tests that compare many
conversions share one import.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from converter.errors import ConverterError
from converter.tensorflow_worker.job import run_job
from converter.tensorflow_worker.progress import Reporter
from converter.worker_request import WorkerRequest

if __name__ == "__main__":
    reporter = Reporter(os.open(os.devnull, os.O_WRONLY))
    for text in json.loads(Path(sys.argv[1]).read_text()):
        request = WorkerRequest.from_json(text)
        request.work_dir.mkdir(parents=True)
        try:
            run_job(request, reporter)
        except ConverterError as error:
            found = {"error": type(error).__name__, "message": str(error)}
            (request.work_dir / "error.json").write_text(json.dumps(found))

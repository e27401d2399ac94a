"""`python -m node_service.trial_worker`: checks a partition and loads and runs it once, so that the service need not be the first.

One JSON line in, one JSON line out. Here a partition may crash, hang or take all memory. Nothing here may import grpc.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import math
import os
import resource
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from node_service.partition_policy import require_memory, require_operators
from node_service.process_memory import ProcessMemory
from node_service.worker_requests import answer_requests, offer_to_the_oom_killer
from runtime import ComputeError, Delegate, Port, Runner, TfliteRuntimeError, load_runtime
from runtime.model_check import examine_file

# A tenth of a core that streams want, too; all of one that they leave.
_NICENESS = 10
_ADVICE = "cut smaller, unload a deployment, or use another board."


@dataclass(frozen=True)
class TrialRequest:
    """What is to be tried.

    Attributes:
        runtime, delegates: for `load_runtime`, the latter as texts.
        allowed_operators: besides the runtime's own.
        available_bytes: memory that the board has free, 0 if that is not known: no more is given.
        others_bytes: of it, what the partition's files before this one take.
        cpu_s: processor time that the trial may take.
        runs: whether it is loaded and run, after the checks.
    """

    path: str
    runtime: str
    delegates: list[str]
    threads: int
    allowed_operators: list[str]
    available_bytes: int
    others_bytes: int
    cpu_s: float
    runs: bool


def main() -> None:
    """Answers one request after the other: the files of one partition."""
    offer_to_the_oom_killer()
    os.nice(_NICENESS)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    answer_requests(lambda request: _answer(TrialRequest(**request)))


def _answer(request: TrialRequest) -> dict[str, Any]:
    path = Path(request.path)
    try:
        findings = examine_file(path)
        require_operators(findings, request.allowed_operators)
        require_memory(findings, request.available_bytes, request.others_bytes)
        if request.runs:
            _limit(request)
            _run(request, path)
        return {"findings": dataclasses.asdict(findings)}
    except TfliteRuntimeError as error:
        return {"error": type(error).__name__, "message": str(error)}
    except (MemoryError, OSError) as error:
        if isinstance(error, OSError) and error.errno != errno.ENOMEM:
            raise
        return {
            "error": "MemoryShortError",
            "message": f"the partition takes more memory than the board has free: {_ADVICE}",
        }


def _limit(request: TrialRequest) -> None:
    """From here on the process ends rather than the board's memory, or its patience."""
    limit_cpu(request.cpu_s)
    if request.available_bytes:
        limit_bytes = ProcessMemory().data_bytes() + request.available_bytes - request.others_bytes
        hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
        if hard == resource.RLIM_INFINITY or limit_bytes < hard:
            resource.setrlimit(resource.RLIMIT_DATA, (limit_bytes, hard))


def limit_cpu(seconds: float) -> None:
    """Ends this process after so much more processor time. Only root may raise the hard limit again, so that one stays."""
    limit_s = math.ceil(time.process_time() + seconds)
    resource.setrlimit(resource.RLIMIT_CPU, (limit_s, resource.getrlimit(resource.RLIMIT_CPU)[1]))


def _run(request: TrialRequest, path: Path) -> None:
    runtime = load_runtime(request.runtime, list(map(Delegate.parse, request.delegates)))
    runner = Runner(runtime, path, request.threads)
    if any(port.dtype.kind not in "fiub" for port in runner.inputs):
        return
    with contextlib.suppress(ComputeError):  # it refuses zeros in good order, as it may refuse a frame
        runner.run([_zeros(port) for port in runner.inputs])


def _zeros(port: Port) -> np.ndarray[Any, Any]:
    return np.zeros([max(1, n) if n < 0 else n for n in port.shape], port.dtype)


if __name__ == "__main__":
    main()

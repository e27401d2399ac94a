"""Runs one target in a process of its own, and says what came of it."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from node_service.process_memory import ProcessMemory
from tests.fuzz.child import Order
from tests.fuzz.corpus import COMMITTED, FAILURES, REGRESSIONS, write_input
from tests.fuzz.flight import Flight
from tests.fuzz.target import load_target

_ROOT = Path(__file__).parents[2]
# No input for so long: it hangs. What merely takes long says so itself, after a second.
HANG_S = 60.0
_LOOK_S = 0.2
# Files in memory, where there is such a place: targets write one per input.
_SHARED_MEMORY = Path("/dev/shm")
PASSED, FAILED, HUNG = "passed", "failed", "hung"


@dataclass(frozen=True)
class Row:
    """What came of one target."""

    case: str  # its name
    engine: str
    inputs: int
    wall_s: float
    inputs_per_s: float
    peak_rss_bytes: int
    corpus_inputs: int
    corpus_bytes: int
    outcome: str
    failing_input: str | None


@dataclass(frozen=True)
class Outcome:
    """A row, and what the process said; a traceback if it failed."""

    row: Row
    log: str


def engines() -> list[str]:
    """What can drive targets here, the best first."""
    return [*(["atheris"] if importlib.util.find_spec("atheris") else []), "mutations"]


def fuzz(
    name: str,
    *,
    inputs: int,
    seconds: float,
    seed: int,
    kept: Path,
    engine: str,
    failures: Path = FAILURES,
    hang_s: float = HANG_S,
) -> Outcome:
    """Runs a target until it has taken so many inputs, or so long, or one that breaks a bound.

    Args:
        kept: directory of inputs that reach new code, which are read and added to.
        failures: where an input that breaks a bound is put, in a directory of the target's name.
        hang_s: it hangs if it takes no new input for so long.
    """
    kept.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=_SHARED_MEMORY if _SHARED_MEMORY.is_dir() else None) as scratch:
        seeds, work, flight_path = Path(scratch, "seeds"), Path(scratch, "work"), Path(scratch, "flight")
        work.mkdir()
        for data in load_target(name).seeds():
            write_input(seeds, data)
        known = [seeds, *(place / name for place in (COMMITTED, REGRESSIONS) if (place / name).is_dir())]
        order = Order(
            name, engine, inputs, seconds, seed, str(kept), list(map(str, known)), str(flight_path), str(work)
        )
        flight = Flight(flight_path)
        begun_s = time.monotonic()
        status, log, most_bytes = _run_child(order, flight, Path(scratch, "log"), hang_s)
        wall_s = time.monotonic() - begun_s
        done, last = flight.inputs, flight.last
        flight.close()
    outcome = PASSED if status == 0 else HUNG if status is None else FAILED
    failing = None if outcome == PASSED else str(write_input(failures / name, last))
    sizes = [path.stat().st_size for path in kept.iterdir()]
    row = Row(name, engine, done, wall_s, done / wall_s, most_bytes, len(sizes), sum(sizes), outcome, failing)
    return Outcome(row, log)


def _run_child(order: Order, flight: Flight, log: Path, hang_s: float) -> tuple[int | None, str, int]:
    """Exit status, None if it hung; what it said; and its peak memory in bytes."""
    command = [sys.executable, "-m", "tests.fuzz.child", json.dumps(asdict(order))]
    # Without a seed of its own, sets of strings would be in another order each time, and so inputs made of them.
    environment = {**os.environ, "PYTHONHASHSEED": "0", "PYTHONFAULTHANDLER": "1"}
    with log.open("wb") as said:
        process = subprocess.Popen(command, cwd=_ROOT, env=environment, stdout=said, stderr=said)
        status = None
        seen, seen_s = -1, time.monotonic()
        most_bytes = 0
        try:
            while status is None and time.monotonic() - seen_s < hang_s:
                if flight.inputs != seen:
                    seen, seen_s = flight.inputs, time.monotonic()
                most_bytes = max(
                    most_bytes, ProcessMemory(Path(f"/proc/{process.pid}")).peak_bytes()
                )  # of one that has ended, 0
                status = _wait(process, _LOOK_S)
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
    return status, log.read_text(errors="replace"), most_bytes


def _wait(process: subprocess.Popen[bytes], seconds: float) -> int | None:
    try:
        return process.wait(seconds)
    except subprocess.TimeoutExpired:
        return None

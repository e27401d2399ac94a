"""A dispatcher that is killed and resumes with its journal, and what the journal costs: `python -m benchmarks.resume`."""

from __future__ import annotations

import statistics
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

import numpy as np
import typer

from benchmarks.chain.bundles import write_equal_parts
from benchmarks.keras_models import tflite_file
from benchmarks.resuming import kill_and_resume
from benchmarks.rows import print_rows
from bundle import open_bundle
from dispatcher_client import DispatcherError, Journal
from dispatcher_client.journal import JournalModel
from examples.local_boards import LocalBoards
from terminal import command_app, print_table, progress, run

_SYNC_MS = (0.0, 100.0)
_ANSWER_BYTES = (4096, 2**20)
_DIRECTORY = typer.Option(None, help="Where journals are written: the disk to be measured. (default: temporary)")
_RECORDS = {4096: 2000, 2**20: 150}


@dataclass(frozen=True)
class Row:
    """One case: either a dispatcher killed and resumed, or the cost of recording answers, per answer."""

    case: str
    sync_ms: float
    model: Optional[str] = None
    dtype: Optional[str] = None
    boards: Optional[int] = None
    kills: Optional[int] = None
    inputs: Optional[int] = None
    lost: Optional[int] = None
    duplicated: Optional[int] = None
    out_of_order: Optional[int] = None
    wrong: Optional[int] = None
    lost_per_kill_p50_s: Optional[float] = None
    lost_per_kill_most_s: Optional[float] = None
    answer_bytes: Optional[int] = None
    record_p50_s: Optional[float] = None
    record_mean_s: Optional[float] = None
    record_p99_s: Optional[float] = None


app = command_app("Measures what killing the dispatcher costs, and the journal.")


@app.command()
def resume(
    kills: int = typer.Option(50, min=1, help="SIGKILLs in each case."),
    model: str = typer.Option("MobileNetV2", help="A network of keras.applications."),
    dtype: str = typer.Option("float32", help="float32 or int8."),
    boards: int = typer.Option(3, min=1, help="Node services on this machine; each gets a part of equal time."),
    within_s: float = typer.Option(1.0, min=0.05, help="Latest moment of a kill after the first answer."),
    directory: Optional[Path] = _DIRECTORY,
    seed: int = typer.Option(1, help="When the dispatcher is killed."),
    as_json: bool = typer.Option(False, "--json", help="Print rows as JSON."),
) -> None:
    """Kill a streaming dispatcher at random moments, resume with its journal, and compare every answer with the whole model's.

    Example: python -m benchmarks.resume --kills 50
    """
    rows = []
    with (
        progress() as display,
        tempfile.TemporaryDirectory() as scratch,
        tempfile.TemporaryDirectory(dir=directory) as journals,
        LocalBoards(boards, Path(scratch) / "stores") as running,
    ):
        task = display.add_task("splitting", total=len(_SYNC_MS) * (1 + len(_ANSWER_BYTES)))
        bundle = open_bundle(write_equal_parts(tflite_file(model, dtype), boards, Path(scratch)))
        for sync_ms in _SYNC_MS:
            display.update(task, description=f"{kills} kills")
            place = Path(journals) / f"kills-{sync_ms:g}"
            result = kill_and_resume(bundle, running, place, kills, seed=seed, within_s=within_s, sync_ms=sync_ms)
            rows.append(
                Row(
                    case="killed and resumed",
                    sync_ms=sync_ms,
                    model=model,
                    dtype=dtype,
                    boards=boards,
                    kills=result.kills,
                    inputs=result.inputs,
                    lost=result.lost,
                    duplicated=result.duplicated,
                    out_of_order=result.out_of_order,
                    wrong=result.wrong,
                    lost_per_kill_p50_s=result.lost_p50_s,
                    lost_per_kill_most_s=max(result.lost_s),
                )
            )
            display.advance(task)
            for answer_bytes in _ANSWER_BYTES:
                display.update(task, description=f"recording {answer_bytes} bytes")
                rows.append(_measure_recording(Path(journals) / f"{answer_bytes}-{sync_ms:g}", answer_bytes, sync_ms))
                display.advance(task)
    if as_json:
        print_rows("resume", rows)
    else:
        _show(rows)


def _measure_recording(path: Path, answer_bytes: int, sync_ms: float) -> Row:
    answer = np.random.default_rng(0).integers(0, 255, answer_bytes, np.uint8)
    times_s = []
    with Journal(path, sync_ms=sync_ms) as journal, journal.streaming(JournalModel("benchmark", "0" * 64)):
        for index in range(_RECORDS[answer_bytes]):
            start_s = time.perf_counter()
            journal.record(answer, index)
            times_s.append(time.perf_counter() - start_s)
    return Row(
        case="recording",
        sync_ms=sync_ms,
        answer_bytes=answer_bytes,
        record_p50_s=statistics.median(times_s),
        record_mean_s=statistics.fmean(times_s),
        record_p99_s=float(np.percentile(times_s, 99)),
    )


def _show(rows: list[Row]) -> None:
    print_table(
        "SIGKILL of the dispatcher, and resuming",
        ("sync ms", "kills", "inputs", "lost", "duplicated", "out of order", "wrong", "lost p50 s", "most s"),
        (
            (
                f"{r.sync_ms:g}",
                r.kills,
                r.inputs,
                r.lost,
                r.duplicated,
                r.out_of_order,
                r.wrong,
                f"{r.lost_per_kill_p50_s:.2f}",
                f"{r.lost_per_kill_most_s:.2f}",
            )
            for r in rows
            if r.kills is not None
        ),
    )
    print_table(
        "recording an answer",
        ("sync ms", "bytes", "p50 ms", "mean ms", "p99 ms"),
        (
            (
                f"{r.sync_ms:g}",
                r.answer_bytes,
                *(f"{1e3 * s:.3f}" for s in (r.record_p50_s, r.record_mean_s, r.record_p99_s) if s is not None),
            )
            for r in rows
            if r.answer_bytes is not None
        ),
    )


def main() -> None:
    """Entry point of `python -m benchmarks.resume`."""
    run(app, (DispatcherError,))


if __name__ == "__main__":
    main()

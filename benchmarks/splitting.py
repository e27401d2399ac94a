"""Time and memory of splitting: a ready ResNet50 .tflite into 8, and the same from Keras: `python -m benchmarks.splitting`."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

import typer

from benchmarks.rows import print_rows
from terminal import command_app, print_table, progress, run

_ROOT = Path(__file__).parents[1]
_MODELS = _ROOT / ".cache" / "benchmarks"
_PARTS = 8

_MAKE_MODEL = """
import sys, keras
keras.utils.set_random_seed(0)
keras.applications.ResNet50(weights=None).save(sys.argv[1])
"""
# What a user does without boardline: load, convert, write.
_PLAIN_CONVERSION = """
import sys, keras, tensorflow as tf
data = tf.lite.TFLiteConverter.from_keras_model(keras.models.load_model(sys.argv[1])).convert()
open(sys.argv[2], "wb").write(data)
"""


@dataclass(frozen=True)
class Row:
    """One case: medians over the runs; memory is the largest process's peak resident size."""

    case: str
    model: str
    parts: int
    runs: int
    time_s: float
    peak_memory_bytes: int
    model_bytes: int
    # Peak beyond that of a process that has only imported what the command imports, in sizes of the model.
    memory_beyond_import_ratio: float


app = command_app("Measures splitting.")


@app.command()
def splitting(
    runs: int = typer.Option(3, min=1, help="Runs of each case."),
    as_json: bool = typer.Option(False, "--json", help="Print rows as JSON."),
    only: Optional[str] = typer.Option(None, help="A case to run alone."),
) -> None:
    """Measure splitting ResNet50 (random weights: honest for time and memory).

    Example: python -m benchmarks.splitting --json
    """
    keras_model, tflite_model = _prepare()
    with tempfile.TemporaryDirectory() as scratch:
        out = Path(scratch)
        split = [sys.executable, "-m", "converter", "split"]
        by_parts = ["--parts", str(_PARTS), "--force", "--out", str(out / "bundle")]
        cases = {
            "split .tflite, balanced by measurement": [*split, str(tflite_model), *by_parts],
            "split .tflite, cuts given": [*split, str(tflite_model), *_given_cuts(), "--out", str(out / "bundle")],
            "plain conversion of .keras": [
                sys.executable,
                "-c",
                _PLAIN_CONVERSION,
                str(keras_model),
                str(out / "plain.tflite"),
            ],
            "split .keras, balanced by measurement": [*split, str(keras_model), *by_parts],
        }
        idle_bytes = _measure([*split, "--help"])[1]
        rows = []
        with progress() as display:
            for case, command in cases.items():
                if only not in (None, case):
                    continue
                display.add_task(case, total=None)
                measured = [_measure(command) for _ in range(runs)]
                peak_bytes = round(statistics.median(m[1] for m in measured))
                size_bytes = tflite_model.stat().st_size
                rows.append(
                    Row(
                        case=case,
                        model="ResNet50",
                        parts=_PARTS,
                        runs=runs,
                        time_s=statistics.median(m[0] for m in measured),
                        peak_memory_bytes=peak_bytes,
                        model_bytes=size_bytes,
                        memory_beyond_import_ratio=(peak_bytes - idle_bytes) / size_bytes,
                    )
                )
    if as_json:
        print_rows("splitting", rows)
        return
    print_table(
        f"ResNet50, {tflite_model.stat().st_size / 1e6:.0f} MB, into {_PARTS} parts",
        ("case", "s", "peak MB", "beyond imports, x model"),
        (
            (r.case, f"{r.time_s:.2f}", f"{r.peak_memory_bytes / 1e6:.0f}", f"{r.memory_beyond_import_ratio:.2f}")
            for r in rows
        ),
    )
    times = {r.case: r.time_s for r in rows}
    if len(times) == len(cases):
        plain, whole = times["plain conversion of .keras"], times["split .keras, balanced by measurement"]
        ready = times["split .tflite, balanced by measurement"]
        print(f"from Keras: {(whole - ready) / plain:.2f} x a plain conversion, plus the split of the ready file")


def _prepare() -> tuple[Path, Path]:
    """The Keras file and the TFLite file, made once."""
    _MODELS.mkdir(parents=True, exist_ok=True)
    keras_model, tflite_model = _MODELS / "resnet50.keras", _MODELS / "resnet50.tflite"
    if not keras_model.exists():
        _measure([sys.executable, "-c", _MAKE_MODEL, str(keras_model)])
    if not tflite_model.exists():
        _measure([sys.executable, "-c", _PLAIN_CONVERSION, str(keras_model), str(tflite_model)])
    return keras_model, tflite_model


def _given_cuts() -> list[str]:
    return ["--cut-at", ",".join(str(9 * k) for k in range(1, _PARTS)), "--force"]


def _measure(command: list[str]) -> tuple[float, int]:
    """Wall seconds and peak resident bytes of a command and its largest descendant."""
    begun_s = time.perf_counter()
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(command, cwd=_ROOT, stdout=log, stderr=subprocess.STDOUT)
        _, status, usage = os.wait4(process.pid, 0)
        elapsed_s = time.perf_counter() - begun_s
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != 0:
            log.seek(0)
            raise RuntimeError(f"{' '.join(command[:6])} failed:\n{log.read().decode(errors='replace')[-3000:]}")
    return elapsed_s, usage.ru_maxrss * 1024


def main() -> None:
    """Entry point of `python -m benchmarks.splitting`."""
    run(app, (RuntimeError,))


if __name__ == "__main__":
    main()

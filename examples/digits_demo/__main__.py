"""`python -m examples.digits_demo [DIRECTORY]`: see README.md."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from bundle import Bundle, open_bundle
from dispatcher_client import Dispatcher
from dispatcher_client.bench import ReplyLog, run_bench
from dispatcher_client.bench_table import show_figures
from dispatcher_client.values import from_tensors, to_tensors
from examples.local_boards import LocalBoards
from runtime import Runner, load_runtime
from terminal import print_table, progress

_ROOT = Path(__file__).parents[2]
_HERE = Path(__file__).parent
_PARTS = 3


def main(kept: Path) -> None:
    """Runs the demo; the trained model and its bundle are kept under `kept` for the next run."""
    begun_s = time.perf_counter()
    work = kept / _recipe_hash()
    trained = _once(work / "trained", "training a residual network on 1347 real digits", _train)
    bundle_path = _once(
        work / "bundle", f"converting to int8 and splitting into {_PARTS}", lambda out: _split(trained, out)
    )
    bundle = open_bundle(bundle_path)
    with np.load(trained / "held_out.npz") as held_out:
        images, labels = held_out["images"], held_out["labels"]
    expected = _run_whole(bundle, images)
    with tempfile.TemporaryDirectory(prefix="boardline-demo-") as stores, LocalBoards(_PARTS, Path(stores)) as boards:
        print(f"{_PARTS} node services on {', '.join(boards.addresses)}, with mutual TLS")
        log = ReplyLog()
        with Dispatcher(bundle, boards.named, credentials=boards.credentials, on_reply=log) as chain:
            answers = _stream(chain, images)
            figures = run_bench(chain, log, _endless(images), len(images))
    identical = sum(a.tobytes() == e.tobytes() for a, e in zip(answers, expected))
    float_accuracy = json.loads((trained / "training.json").read_text())["float_accuracy"]
    print_table(
        f"accuracy on {len(images)} held-out digits",
        ("model", "accuracy"),
        (
            ("float model, Keras", f"{float_accuracy:.4f}"),
            ("whole int8 model, one process", f"{_accuracy(expected, labels):.4f}"),
            (f"int8 chain, {_PARTS} node services", f"{_accuracy(answers, labels):.4f}"),
        ),
    )
    print(f"bit-identical to the whole model: {identical} of {len(images)} answers")
    show_figures(figures)
    print(f"all node services share this machine's {os.cpu_count()} cores; on boards of their own they do not.")
    print(f"done in {time.perf_counter() - begun_s:.1f} s")
    if identical != len(images):
        sys.exit("the chain's answers differ from the whole model's")


def _recipe_hash() -> str:
    """Changes with anything that the trained model or the bundle depends on."""
    digest = hashlib.sha256()
    for folder in (_HERE, _ROOT / "converter", _ROOT / "partitioning", _ROOT / "bundle", _ROOT / "protos"):
        for path in sorted(folder.rglob("*.py")):
            digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def _once(result: Path, what: str, make: Any) -> Path:
    """Makes a directory unless an earlier run has finished it."""
    if result.exists():
        print(f"{what}: done by an earlier run")
        return result
    result.parent.mkdir(parents=True, exist_ok=True)
    building = result.with_name(result.name + ".building")
    shutil.rmtree(building, ignore_errors=True)
    begun_s = time.perf_counter()
    with progress() as display:
        display.add_task(what, total=None)
        make(building)
    building.rename(result)
    print(f"{what}: {time.perf_counter() - begun_s:.1f} s")
    return result


def _train(out: Path) -> None:
    out.mkdir()
    _run("-m", "examples.digits_demo.train", str(out))


def _split(trained: Path, out: Path) -> None:
    command = ["-m", "converter", "split", str(trained / "digits.keras"), "--parts", str(_PARTS), "--quantize", "int8"]
    _run(*command, "--calibration", str(trained / "calibration.npy"), "--out", str(out))


def _run(*arguments: str) -> None:
    """Runs Python in a child whose chatter is shown only if it fails."""
    done = subprocess.run([sys.executable, *arguments], cwd=_ROOT, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"python {' '.join(arguments)} failed:\n{done.stdout}{done.stderr}")


def _run_whole(bundle: Bundle, images: np.ndarray[Any, Any]) -> list[np.ndarray[Any, Any]]:
    """The whole int8 model's answers, dequantised as the dispatcher does."""
    manifest = bundle.manifest
    runner = Runner(load_runtime(), bundle.file_path(manifest.whole))
    answers = []
    for image in images:
        tensors, is_real = to_tensors(manifest.inputs, image[None])
        outputs = dict(zip((t.name for t in bundle.splittings[0].partitions[-1].leaving), runner.run(tensors)))
        answers.append(np.asarray(from_tensors(manifest.outputs, outputs, is_real)))
    return answers


def _stream(chain: Dispatcher, images: np.ndarray[Any, Any]) -> list[np.ndarray[Any, Any]]:
    with progress() as display:
        task = display.add_task("streaming held-out digits through the chain", total=len(images))
        answers = []
        for answer in chain.stream(image[None] for image in images):
            answers.append(np.asarray(answer))
            display.advance(task)
    return answers


def _endless(images: np.ndarray[Any, Any]) -> Any:
    while True:
        for image in images:
            yield image[None]


def _accuracy(answers: list[np.ndarray[Any, Any]], labels: np.ndarray[Any, Any]) -> float:
    return float(np.mean([a.argmax() == label for a, label in zip(answers, labels)]))


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else _ROOT / ".cache" / "demo")

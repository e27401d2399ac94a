"""`python -m benchmarks.trial_load`: what the trial of partitions adds to a first deployment, and takes from a stream.

Four boards on this machine, a model in four partitions. A deployment is what `Dispatcher.open` does on boards that hold nothing
yet, uploads included; on new boards each time.
"""

from __future__ import annotations

import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import typer

from benchmarks.chain.bundles import write_equal_parts
from benchmarks.keras_models import tflite_file
from bundle import Bundle, open_bundle
from dispatcher_client import Dispatcher
from examples.local_boards import LocalBoards
from transport.tensor_spec import Array

_BOARDS = 4


def _open_s(bundle: Bundle, trial_load: str) -> float:
    with (
        tempfile.TemporaryDirectory() as store,
        LocalBoards(_BOARDS, Path(store), ("--threads", "1", "--trial-load", trial_load)) as boards,
    ):
        begun_s = time.perf_counter()
        with Dispatcher(bundle, boards.named, recovers=False):
            return time.perf_counter() - begun_s


def _stream_rates(serving: Bundle, coming: Bundle, trial_load: str, seconds: float) -> tuple[float, float]:
    """Answers per second of one deployment, before and while another one is tried and loaded on the same boards."""
    x = serving.load_sample()[0]
    with (
        tempfile.TemporaryDirectory() as store,
        LocalBoards(_BOARDS, Path(store), ("--threads", "1", "--trial-load", trial_load)) as boards,
        Dispatcher(serving, boards.named, recovers=False) as chain,
    ):
        before = _rate(chain, x, lambda begun_s: time.perf_counter() - begun_s > seconds)
        opened = threading.Event()

        def deploy() -> None:
            with Dispatcher(coming, boards.named, recovers=False):
                opened.set()

        loading = threading.Thread(target=deploy)
        loading.start()
        meanwhile = _rate(chain, x, lambda begun_s: opened.is_set())
        loading.join()
    return before, meanwhile


def _rate(chain: Dispatcher, x: dict[str, Array], is_over: Callable[[float], bool]) -> float:
    begun_s, n = time.perf_counter(), 0

    def inputs() -> Iterator[dict[str, Array]]:
        while not is_over(begun_s):
            yield x

    for _ in chain.stream(inputs()):
        n += 1
    return n / (time.perf_counter() - begun_s)


def main(names: list[str] = typer.Argument(["ResNet50", "MobileNetV2"]), rounds: int = 3) -> None:  # noqa: B008
    """Prints a line per network of keras.applications, and one for both at once."""
    models = [tflite_file(name) for name in names]
    with tempfile.TemporaryDirectory() as work:
        bundles = [open_bundle(write_equal_parts(model, _BOARDS, Path(work))) for model in models]
        for model, bundle in zip(models, bundles):
            taken = {kind: [_open_s(bundle, kind) for _ in range(rounds)] for kind in ("never", "new")}
            text = ", ".join(
                f"--trial-load {k}: {statistics.median(t):.2f} s ({min(t):.2f} to {max(t):.2f})"
                for k, t in taken.items()
            )
            print(f"{model.stem} in {_BOARDS}, {rounds} first deployments each: {text}")
        if len(bundles) > 1:
            for kind in ("never", "new"):
                before, meanwhile = _stream_rates(bundles[0], bundles[1], kind, 5.0)
                print(
                    f"--trial-load {kind}: {models[0].stem} streams {before:.1f}/s, and {meanwhile:.1f}/s while "
                    f"{models[1].stem} is deployed beside it"
                )


if __name__ == "__main__":
    typer.run(main)

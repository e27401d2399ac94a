"""What a batch gains and costs, on emulated boards: `python -m benchmarks.batching`."""

from __future__ import annotations

import itertools
import statistics
import tempfile
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Optional

import numpy as np
import typer

from benchmarks.boards import BoardSpec, EmulatedBoards, EmulationError
from benchmarks.keras_models import tflite_file
from bundle import BundleWriter, open_bundle
from converter.batched_conversion import Conversion, convert_batched
from converter.errors import ConverterError
from converter.split_model import LoadedModel, SplitRequest, split_model
from dispatcher_client import Board, Dispatcher
from dispatcher_client.bench import ReplyLog
from dispatcher_client.micro_batches import split_batch
from dispatcher_client.values import Values
from partitioning import Graph
from partitioning.ordering import narrowed
from runtime import load_runtime
from terminal import command_app, print_json, print_table, progress, run

_WARM_UP_FRAMES = 8
_ALONE_INPUTS = 10
_FILE = typer.Option(None, metavar="FILE", help="A .tflite file instead of --model.")


@dataclass(frozen=True)
class Row:
    """One batch: medians over the runs. Latencies are an image's, from taking it to its answer.

    `bytes_sent_per_image` is what the dispatcher and every board sent for it; `latency_alone_ms` is that of an image with
    nothing else in flight, which waits in vain for others.
    """

    benchmark: str
    model: str
    dtype: str
    boards: int
    cores_per_board: float
    link_mbit_s: float
    batch: int
    images_per_s: float
    speedup_vs_first_batch: float
    latency_p50_ms: float
    latency_p99_ms: float
    latency_alone_ms: float
    bytes_sent_per_image: float
    largest_difference_of_answers: float


@dataclass(frozen=True)
class _Split:
    bundle: Path
    batch: int
    difference: float


@dataclass(frozen=True)
class _Figures:
    images_per_s: float
    latency_p50_ms: float
    latency_p99_ms: float
    latency_alone_ms: float
    bytes_sent_per_image: float


app = command_app("Measures batches.")


@app.command()
def batching(
    model: str = typer.Option("MobileNetV2", help="A network of keras.applications."),
    file: Optional[Path] = _FILE,
    batches: str = typer.Option("1,2,4,8", metavar="N,...", help="Batches; the first is compared with."),
    boards: int = typer.Option(4, min=1, help="Boards, each with a part of the model."),
    cores: float = typer.Option(0.2, help="Share of a core of each board."),
    link_mbit_s: float = typer.Option(1000.0, help="Each board's link."),
    images: int = typer.Option(240, min=16, help="Images of each run."),
    runs: int = typer.Option(3, min=1, help="Runs of each batch, in turn."),
    as_json: bool = typer.Option(False, "--json", help="Print rows as JSON."),
) -> None:
    """Compare batches of one model, cut at the same places, on the same boards.

    Example: python -m benchmarks.batching --model ResNet50 --batches 1,4
    """
    source = file or tflite_file(model)
    name = model if file is None else file.stem
    sizes = [int(n) for n in batches.split(",")]
    specs = [BoardSpec(f"pi{i + 1}", cores=cores, link_bits_per_s=link_mbit_s * 1e6) for i in range(boards)]
    with progress() as display, tempfile.TemporaryDirectory() as scratch:
        task = display.add_task("splitting", total=None)
        splits = _split_all(source, sizes, boards, Path(scratch))
        measured: dict[int, list[_Figures]] = {n: [] for n in sizes}
        with EmulatedBoards(specs) as cluster:
            for done, split in enumerate(splits * runs):
                display.update(task, description=f"batch {split.batch}", total=len(splits) * runs, completed=done)
                figures = cluster.call(_measure, split.bundle, cluster.named, images, timeout_s=1200.0)
                measured[split.batch].append(figures)
            warning = cluster.warning
        dtype = next(iter(open_bundle(splits[0].bundle).load_sample()[0].values())).dtype.name
    first = statistics.median(f.images_per_s for f in measured[sizes[0]])
    rows = [_row(name, dtype, boards, cores, link_mbit_s, split, measured[split.batch], first) for split in splits]
    if as_json:
        print_json([asdict(row) for row in rows])
        return
    print_table(
        f"{name} {dtype} on {boards} boards of {cores:g} core, {link_mbit_s:g} Mbit/s",
        ("batch", "images/s", "speed-up", "p50 ms", "p99 ms", "alone ms", "kB/image"),
        (
            (
                r.batch,
                f"{r.images_per_s:.1f}",
                f"{r.speedup_vs_first_batch:.2f} x",
                f"{r.latency_p50_ms:.0f}",
                f"{r.latency_p99_ms:.0f}",
                f"{r.latency_alone_ms:.0f}",
                f"{r.bytes_sent_per_image / 1e3:.1f}",
            )
            for r in rows
        ),
        text_columns=0,
    )
    if warning:
        print(f"warning: {warning}")


def _split_all(source: Path, sizes: Sequence[int], parts: int, scratch: Path) -> list[_Split]:
    """A bundle for each batch, all cut after the operators that parts of equal time end with at a batch of 1."""
    graph = narrowed(Graph.from_bytes(source.read_bytes()))
    equal = open_bundle(_split(source, 1, parts, [], scratch / "equal").bundle)
    ends = [graph.operators[cut - 1].outputs[0] for cut in equal.splittings[0].cut_indices]
    cuts = [graph.tensors[t].name for t in ends]  # names: a batch may need further operators
    return [_split(source, n, None, cuts, scratch / str(n)) for n in sizes]


def _split(source: Path, batch: int, parts: int | None, cuts: Sequence[str], out: Path) -> _Split:
    runtime = load_runtime()
    with tempfile.TemporaryDirectory() as work_dir, BundleWriter(out) as writer:
        converted = convert_batched(
            Conversion(source), batch, work_dir=Path(work_dir), runtime=runtime, on_progress=lambda what, share: None
        )
        loaded = LoadedModel.from_converted(converted)
        request = SplitRequest(source, "tflite", "as-is", parts, [cuts])
        bundle = split_model(loaded, request, writer, runtime, None, lambda what, share: None)
        return _Split(bundle.path, batch, converted.batch_difference)


def _measure(bundle: Path, boards: Sequence[Board], images: int) -> _Figures:
    """Runs where the dispatcher is: single inputs, as an application passes them, at full load and one at a time."""
    opened, log = open_bundle(bundle), ReplyLog()
    inputs: list[Values] = list(split_batch(opened.load_sample()[0], opened.batch))
    with Dispatcher(opened, list(boards), insecure=True, open_timeout_s=120.0, on_reply=log) as chain:
        alone_s = [_timed(chain, inputs[0]) for _ in range(_ALONE_INPUTS)]
        log.reports.clear()
        warm_up = _WARM_UP_FRAMES * chain.batch
        count = warm_up + -(-images // chain.batch) * chain.batch
        taken_s, at_s, latencies_s = deque[float](), list[float](), list[float]()

        def timed() -> Iterator[Values]:
            for values in itertools.islice(itertools.cycle(inputs), count):
                taken_s.append(time.perf_counter())
                yield values

        for _ in chain.stream(timed()):
            at_s.append(time.perf_counter())
            latencies_s.append(at_s[-1] - taken_s.popleft())
    p50, p99 = (float(v) * 1e3 for v in np.percentile(latencies_s[warm_up:], (50, 99)))
    return _Figures(
        images_per_s=(count - warm_up) / (at_s[-1] - at_s[warm_up - 1]),
        latency_p50_ms=p50,
        latency_p99_ms=p99,
        latency_alone_ms=statistics.median(alone_s) * 1e3,
        bytes_sent_per_image=sum(r.sent_bytes + sum(t.sent_bytes for t in r.timings) for r in log.reports) / count,
    )


def _timed(chain: Dispatcher, values: Values) -> float:
    begun_s = time.perf_counter()
    chain.infer(values)
    return time.perf_counter() - begun_s


def _row(
    model: str,
    dtype: str,
    boards: int,
    cores: float,
    link_mbit_s: float,
    split: _Split,
    figures: Sequence[_Figures],
    first_per_s: float,
) -> Row:
    medians = {name: statistics.median(getattr(f, name) for f in figures) for name in _Figures.__dataclass_fields__}
    return Row(
        benchmark="batching",
        model=model,
        dtype=dtype,
        boards=boards,
        cores_per_board=cores,
        link_mbit_s=link_mbit_s,
        batch=split.batch,
        speedup_vs_first_batch=medians["images_per_s"] / first_per_s,
        largest_difference_of_answers=split.difference,
        **medians,
    )


def main() -> None:
    """Entry point of `python -m benchmarks.batching`."""
    run(app, (EmulationError, ConverterError))


if __name__ == "__main__":
    main()

"""The window that adapts against fixed ones, on emulated boards: `python -m benchmarks.window`."""

from __future__ import annotations

import itertools
import statistics
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Optional

import typer

from benchmarks.boards import BoardSpec, EmulatedBoards, EmulationError
from benchmarks.chain.bundles import write_equal_parts
from benchmarks.keras_models import tflite_file
from bundle import open_bundle
from dispatcher_client import Board, Dispatcher
from dispatcher_client.bench import ReplyLog, run_bench
from terminal import command_app, print_json, print_table, progress, run

# Until the window has settled and the boards' quotas are in their stride.
_WARM_UP_FRAMES = 60


@dataclass(frozen=True)
class Row:
    """One window: the run of median throughput. `given` is 0 where the window adapts."""

    model: str
    boards: int
    given: int
    window: int
    images_per_s: float
    share_of_bound: float
    latency_alone_p50_ms: float
    latency_p50_ms: float
    latency_p99_ms: float
    queueing_in_stage_times: float


app = command_app("Measures what a window that adapts gains and costs.")


@app.command()
def window(
    model: str = typer.Option("ResNet50", help="A network of keras.applications."),
    boards: int = typer.Option(4, min=1, help="Boards in the chain; each gets a part of equal time."),
    cores: float = typer.Option(0.2, help="Share of a core of each board."),
    link_mbit_s: float = typer.Option(1000.0, help="Each board's link."),
    frames: int = typer.Option(200, min=30, help="Frames of each run, after the warm-up."),
    runs: int = typer.Option(3, min=1, help="Runs of each window, in turn."),
    fixed: Optional[str] = typer.Option(None, help="Fixed windows to compare with. (default: 1, 2 and 3 per board)"),
    as_json: bool = typer.Option(False, "--json", help="Print rows as JSON."),
) -> None:
    """Compare throughput and latency of the window that adapts with fixed ones.

    Example: python -m benchmarks.window --boards 4 --link-mbit-s 100
    """
    windows = [boards, 2 * boards, 3 * boards] if fixed is None else [int(w) for w in fixed.split(",")]
    specs = [BoardSpec(f"pi{i + 1}", cores=cores, link_bits_per_s=link_mbit_s * 1e6) for i in range(boards)]
    measured: dict[int, list[Row]] = {}
    with progress() as display, tempfile.TemporaryDirectory() as scratch, EmulatedBoards(specs) as cluster:
        task = display.add_task("splitting", total=None)
        bundle = write_equal_parts(tflite_file(model), boards, Path(scratch))
        turns = [0, *windows] * runs
        for done, given in enumerate(turns):
            display.update(task, description=f"window {given or 'adapts'}", total=len(turns), completed=done)
            row = cluster.call(_measure, bundle, cluster.named, model, given, frames, timeout_s=900.0)
            measured.setdefault(given, []).append(row)
        warning = cluster.warning
    rows = [_median_row(of_window) for of_window in measured.values()]
    if as_json:
        print_json([asdict(row) for row in rows])
        return
    print_table(
        f"{model} on {boards} boards of {cores:g} cores, {link_mbit_s:g} Mbit/s",
        ("window", "images/s", "of the bound", "alone ms", "p50 ms", "p99 ms", "queueing, stage times"),
        (
            (
                r.window if r.given else f"adapts: {r.window}",
                f"{r.images_per_s:.2f}",
                f"{r.share_of_bound:.3f}",
                f"{r.latency_alone_p50_ms:.1f}",
                f"{r.latency_p50_ms:.1f}",
                f"{r.latency_p99_ms:.1f}",
                f"{r.queueing_in_stage_times:.2f}",
            )
            for r in rows
        ),
    )
    if warning:
        print(f"warning: {warning}")


def _measure(bundle: Path, boards: Sequence[Board], model: str, given: int, frames: int) -> Row:
    """Runs where the dispatcher is."""
    opened, log = open_bundle(bundle), ReplyLog()
    values = opened.load_sample()[0]
    with Dispatcher(
        opened, list(boards), insecure=True, recovers=False, open_timeout_s=120.0, window=given or None, on_reply=log
    ) as chain:
        for _ in chain.stream(itertools.repeat(values, _WARM_UP_FRAMES)):
            pass
        figures = run_bench(chain, log, itertools.repeat(values), frames)
    return Row(
        model=model,
        boards=len(boards),
        given=given,
        window=figures.window,
        images_per_s=figures.throughput_per_s,
        share_of_bound=figures.share_of_bound,
        latency_alone_p50_ms=figures.latency_alone_p50_ms,
        latency_p50_ms=figures.latency_p50_ms,
        latency_p99_ms=figures.latency_p99_ms,
        queueing_in_stage_times=figures.queueing_in_stage_times,
    )


def _median_row(rows: Sequence[Row]) -> Row:
    """The run whose throughput is the median, of equals the first."""
    middle = statistics.median_low(row.images_per_s for row in rows)
    return next(row for row in rows if row.images_per_s == middle)


def main() -> None:
    """Entry point of `python -m benchmarks.window`."""
    run(app, (EmulationError,))


if __name__ == "__main__":
    main()

"""The benchmark's command line."""

from __future__ import annotations

import tempfile
from pathlib import Path

import typer

from benchmarks.boards import BoardSpec, EmulatedBoards, EmulationError
from benchmarks.chain.bundles import write_equal_parts
from benchmarks.chain.settings import split_words
from benchmarks.faults.faults import FAULTS
from benchmarks.faults.row import make_row
from benchmarks.faults.trials import run_trials
from benchmarks.keras_models import tflite_file
from benchmarks.rows import print_rows
from terminal import command_app, print_table, progress, run

app = command_app("Measures what faults of boards cost a chain at full load.")


@app.command()
def faults(
    which: str = typer.Option(",".join(FAULTS), "--faults", help="Faults, with commas between them."),
    trials: int = typer.Option(10, min=1, help="Trials of each fault."),
    model: str = typer.Option("MobileNetV2", help="A network of keras.applications."),
    dtype: str = typer.Option("float32", help="float32 or int8."),
    boards: int = typer.Option(4, min=1, help="Boards in the chain; each gets a part of equal time."),
    spares: int = typer.Option(1, min=0, help="Boards beside them that wait for one to fail."),
    struck: int = typer.Option(1, min=1, help="Boards that a fault strikes at once."),
    cores: float = typer.Option(0.3, help="Share of a core of each board."),
    link_mbit_s: float = typer.Option(1000.0, help="Each board's link."),
    after_s: float = typer.Option(3.0, min=0.5, help="Time of streaming after the fault."),
    seed: int = typer.Option(1, help="Which boards are struck, and when."),
    as_json: bool = typer.Option(False, "--json", help="Print rows as JSON."),
) -> None:
    """Strike a random board at a random moment while a chain streams, and compare every answer with the whole model's.

    Example: python -m benchmarks.faults --faults kill --trials 200
    """
    wanted = split_words(which)
    unknown = sorted(set(wanted) - set(FAULTS))
    if unknown:
        raise EmulationError(f"no fault {', '.join(unknown)}: expected some of {', '.join(FAULTS)}.")
    specs = [BoardSpec(f"pi{i + 1}", cores=cores, link_bits_per_s=link_mbit_s * 1e6) for i in range(boards + spares)]
    rows = []
    with progress() as display, tempfile.TemporaryDirectory() as scratch, EmulatedBoards(specs) as cluster:
        task = display.add_task("splitting", total=len(wanted) * trials)
        bundle = write_equal_parts(tflite_file(model, dtype), boards, Path(scratch))
        for fault in wanted:
            results = []
            for result in run_trials(cluster, bundle, boards, fault, range(seed, seed + trials), struck, after_s):
                results.append(result)
                display.update(task, description=f"{fault} {', '.join(result.struck)}", advance=1)
            rows.append(make_row(fault, results, model, dtype, boards, spares, cores, link_mbit_s))
    if as_json:
        print_rows("faults", rows)
        return
    print_table(
        f"{model} {dtype}, {boards} boards of {cores:g} cores and {spares} spare: {struck} struck at full load",
        ("fault", "trials", "answers", "lost", "duplicated", "out of order", "wrong", "gap p50 s", "p99 s", "usual s"),
        (
            (
                r.fault,
                r.trials,
                r.answered,
                r.lost,
                r.duplicated,
                r.out_of_order,
                r.wrong,
                f"{r.gap_p50_s:.3f}",
                f"{r.gap_p99_s:.3f}",
                f"{r.usual_p50_s:.3f}",
            )
            for r in rows
        ),
    )
    for r in rows:
        if r.errors:
            print(f"{r.fault}: {r.errors}")


def main() -> None:
    """Entry point of `python -m benchmarks.faults`."""
    run(app, (EmulationError,))

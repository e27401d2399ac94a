"""The benchmark's command line."""

from __future__ import annotations

import statistics
import tempfile
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import typer

from benchmarks.boards import BoardSpec, EmulatedBoards, EmulationError
from benchmarks.chain.bundles import write_equal_parts
from benchmarks.chain.settings import split_words
from benchmarks.faults.faults import FAULTS, Target, undo
from benchmarks.faults.trial import TrialRequest, TrialResult, run_trial
from benchmarks.keras_models import tflite_file
from benchmarks.rows import print_rows
from fleet.inventory import Inventory
from terminal import command_app, print_table, progress, run

app = command_app("Measures what faults of boards cost a chain at full load.")
_TRIAL_TIMEOUT_S = 180.0
_FLAP_S = 2.0
_LOOK_EVERY_S = 0.05


@dataclass(frozen=True)
class Row:
    """All trials of one fault. A gap is the longest time without an answer; `usual_p50_s` is that between two before the fault."""

    fault: str
    model: str
    dtype: str
    boards: int
    spares: int
    cores_per_board: float
    link_mbit_s: float
    trials: int
    answered: int
    lost: int
    duplicated: int
    out_of_order: int
    wrong: int
    gap_p50_s: float
    gap_p99_s: float
    usual_p50_s: float
    errors: str


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
            for result in _trials(cluster, bundle, boards, fault, range(seed, seed + trials), struck, after_s):
                results.append(result)
                display.update(task, description=f"{fault} {', '.join(result.struck)}", advance=1)
            rows.append(_row(fault, results, model, dtype, boards, spares, cores, link_mbit_s))
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


def _trials(
    cluster: EmulatedBoards,
    bundle: Path,
    n_boards: int,
    fault: str,
    seeds: Sequence[int],
    n_struck: int,
    after_s: float,
) -> Iterator[TrialResult]:
    named = cluster.named
    inventory = Inventory(tuple(named), spares=tuple(board.name for board in named[n_boards:]))
    hosts = [cluster.dispatcher_host, *(board.address.host for board in named)]
    for seed in seeds:
        targets = [
            Target(b.spec.name, b.process.pid, b.namespace.name, [h for h in hosts if h != b.address.host])
            for b in cluster.boards
        ]
        started = bundle.parent / "started"
        started.unlink(missing_ok=True)
        request = TrialRequest(bundle, inventory, targets[:n_boards], fault, seed, n_struck, after_s, str(started))
        ended = threading.Event()
        flapping = threading.Thread(target=_flap, args=(cluster, started, ended), daemon=True)
        if fault == "flap":
            flapping.start()
        try:
            result = cluster.call(run_trial, request, timeout_s=_TRIAL_TIMEOUT_S + after_s)
        finally:
            ended.set()
            if fault == "flap":
                flapping.join()
        for target in targets:
            if target.name in result.struck:
                if fault not in ("kill", "flap"):
                    undo(target)
                cluster.restart(target.name)
        yield result


def _flap(cluster: EmulatedBoards, started: Path, ended: threading.Event) -> None:
    """On a thread: from the moment of the fault on kills the boards, and starts them again, every two seconds."""
    while not started.exists():
        if ended.wait(_LOOK_EVERY_S):
            return
    names = started.read_text().split()
    while True:
        for board in cluster.boards:
            if board.spec.name in names:
                board.process.kill()
        if ended.wait(_FLAP_S):
            return
        for name in names:
            cluster.restart(name)
        if ended.wait(_FLAP_S):
            return


def _row(
    fault: str,
    results: Sequence[TrialResult],
    model: str,
    dtype: str,
    boards: int,
    spares: int,
    cores: float,
    link_mbit_s: float,
) -> Row:
    gaps_s = [result.gap_s for result in results]
    return Row(
        fault=fault,
        model=model,
        dtype=dtype,
        boards=boards,
        spares=spares,
        cores_per_board=cores,
        link_mbit_s=link_mbit_s,
        trials=len(results),
        answered=sum(result.answered for result in results),
        lost=sum(result.lost for result in results),
        duplicated=sum(result.duplicated for result in results),
        out_of_order=sum(result.out_of_order for result in results),
        wrong=sum(result.wrong for result in results),
        gap_p50_s=statistics.median(gaps_s),
        gap_p99_s=float(np.percentile(gaps_s, 99)),
        usual_p50_s=statistics.median(result.usual_s for result in results),
        errors="; ".join(sorted({result.error for result in results} - {""})),
    )


def main() -> None:
    """Entry point of `python -m benchmarks.faults`."""
    run(app, (EmulationError,))

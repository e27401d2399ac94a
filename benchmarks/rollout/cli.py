"""The benchmark's command line."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Optional

import typer

from benchmarks.boards import BoardSpec, EmulatedBoards, EmulationError, SpecError
from benchmarks.chain.bundles import write_equal_parts
from benchmarks.keras_models import tflite_file
from benchmarks.rollout.figures import Change
from benchmarks.rollout.load import LoadRequest, LoadResult, SameVersionError, run_changes
from benchmarks.rollout.row import Row, make_row, measure_changes
from benchmarks.rows import print_rows
from bundle import BundleError, open_bundle
from dispatcher_client import DispatcherError
from examples.local_boards import LocalBoards
from fleet.inventory import Inventory
from terminal import command_app, print_table, progress, run
from transport.tensor_spec import numpy_dtype

# A change of a large model on small boards; with the time before it.
_CHANGE_TIMEOUT_S = 120.0
_LEAST_SETTLE_S = 1.5

_ONE = typer.Argument(None, metavar="[ONE", help="Bundle of the version that serves first.")
_TWO = typer.Argument(None, metavar="TWO]", help="Bundle of the version that takes its place.")

app = command_app("Measures changes of version under load.")


@app.command()
def rollout(
    one: Optional[Path] = _ONE,
    two: Optional[Path] = _TWO,
    model: str = typer.Option("MobileNetV2", help="A network of keras.applications, on emulated boards."),
    dtype: str = typer.Option("float32", help="float32 or int8."),
    boards: int = typer.Option(4, min=1, help="Emulated boards in the chain; each gets a part of equal time."),
    cores: float = typer.Option(0.3, help="Share of a core of each board."),
    link_mbit_s: float = typer.Option(1000.0, help="Each board's link."),
    changes: int = typer.Option(20, min=1, help="How often the versions take turns."),
    settle_s: float = typer.Option(5.0, min=_LEAST_SETTLE_S, help="Time at full load before each change."),
    as_json: bool = typer.Option(False, "--json", help="Print rows as JSON."),
) -> None:
    """Ask at full load while two versions take turns, and compare every answer with the whole model's of its version.

    With two bundles through node services on this machine; else the versions are one network with two sets of weights, on
    emulated boards.

    Example: python -m benchmarks.rollout --model MobileNetV2 --dtype float32 --boards 4 --cores 0.3 --changes 20
    """
    if (one is None) != (two is None):
        raise SpecError("one bundle was given, expected two versions, or none to have them made from --model.")
    with tempfile.TemporaryDirectory() as scratch:
        if one is not None and two is not None:
            row, each = _on_this_machine(one, two, changes, settle_s, Path(scratch))
        else:
            specs = [BoardSpec(f"pi{i + 1}", cores=cores, link_bits_per_s=link_mbit_s * 1e6) for i in range(boards)]
            row, each = _on_emulated_boards(model, dtype, specs, changes, settle_s, Path(scratch))
    if as_json:
        print_rows("rollout", [row])
        return
    _show(row, each)


def _on_this_machine(one: Path, two: Path, changes: int, settle_s: float, stores: Path) -> tuple[Row, list[Change]]:
    versions = [open_bundle(path) for path in (one, two)]
    n_boards = max(len(version.splittings[0].partitions) for version in versions)
    with LocalBoards(n_boards, stores) as running:
        inventory = Inventory(tuple(running.named))
        result = run_changes(LoadRequest(one, two, inventory, changes, settle_s, running.credentials))
    manifest = versions[0].manifest
    dtype = numpy_dtype(manifest.inputs[0].dtype).name
    return _row(result, manifest.model_name, dtype, n_boards, None, None)


def _on_emulated_boards(
    model: str, dtype: str, specs: list[BoardSpec], changes: int, settle_s: float, scratch: Path
) -> tuple[Row, list[Change]]:
    with progress() as display, EmulatedBoards(specs) as cluster:
        task = display.add_task("splitting", total=None)
        one, two = (write_equal_parts(tflite_file(model, dtype, seed), len(specs), scratch) for seed in (0, 1))
        display.update(task, description=f"changing version {changes} times")
        request = LoadRequest(one, two, Inventory(tuple(cluster.named)), changes, settle_s)
        timeout_s = (changes + 2) * (settle_s + _CHANGE_TIMEOUT_S)
        result = cluster.call(run_changes, request, timeout_s=timeout_s)
    cores, link = specs[0].cores, specs[0].link_bits_per_s
    return _row(result, model, dtype, len(specs), cores, None if link is None else link / 1e6)


def _row(
    result: LoadResult, model: str, dtype: str, boards: int, cores: float | None, link_mbit_s: float | None
) -> tuple[Row, list[Change]]:
    usual_per_s, changes = measure_changes(result)
    return make_row(result, usual_per_s, changes, model, dtype, boards, cores, link_mbit_s), changes


def _show(row: Row, changes: list[Change]) -> None:
    print_table(
        f"{row.model} {row.dtype}, {row.boards} boards: {row.answers} answers, {row.failed} failed, {row.wrong} wrong, "
        f"{row.misnamed} misnamed; "
        f"{row.images_per_s:.0f} per second without changes",
        ("change", "took s", "during", "longest gap s", "dip in its worst second", "as long before", "dip during"),
        (
            (
                i,
                f"{c.seconds:.2f}",
                f"{c.rate_during:.0f}",
                f"{c.longest_gap_s:.3f}",
                f"{c.dip_worst_second:.1%}",
                f"{c.usual_dip_worst_second:.1%}",
                f"{c.dip_during:.1%}",
            )
            for i, c in enumerate(changes)
        ),
        text_columns=0,
    )
    if row.errors:
        print(row.errors)


def main() -> None:
    """Entry point of `python -m benchmarks.rollout`."""
    run(app, (DispatcherError, BundleError, EmulationError, SameVersionError))

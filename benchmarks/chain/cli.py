"""The command line of the benchmark of chains."""

from __future__ import annotations

from pathlib import Path
from typing import Optional

import typer

from benchmarks.boards import EmulationError
from benchmarks.chain.campaign import Campaign
from benchmarks.chain.errors import ChainBenchmarkError
from benchmarks.chain.plot import plot_rows, require_format
from benchmarks.chain.settings import Settings, split_counts, split_numbers, split_words
from benchmarks.chain.table import show_rows
from benchmarks.machine import this_machine
from benchmarks.rows import FlatRow, flat_rows, write_rows
from converter.errors import ConverterError
from planner.errors import PlannerError
from terminal import command_app, print_json, progress, run

BENCHMARK = "chain"
app = command_app("Measures chains of boards against their bound, one board, replicas and a DEFER-style chain.")


@app.command()
def chain(
    models: str = typer.Option("ResNet50,MobileNetV2", help="Networks of keras.applications."),
    dtypes: str = typer.Option("float32,int8", help="float32, int8 (inputs and outputs, too)."),
    boards: str = typer.Option("1,2,4,8", help="Numbers of boards."),
    cores: float = typer.Option(0.2, help="Share of a core that each board computes with."),
    link_mbit_s: str = typer.Option("1000,100", help="Links of the boards."),
    spare_core: bool = typer.Option(
        False, "--spare-core", help="Boards have a second such share, for all but the thread that computes."
    ),
    codec: str = typer.Option("raw", help="How tensors are coded between boards, as the dispatcher takes it."),
    batch: str = typer.Option("1", metavar="N,...", help="Images in a frame; the model is split anew for each."),
    seconds: float = typer.Option(8.0, min=0.5, help="Time of each run at full load."),
    frames: Optional[int] = typer.Option(None, min=2, help="Frames of each run, in place of a time."),
    turns: int = typer.Option(3, min=1, help="How often all is measured, in turn; the medians count."),
    with_defer: bool = typer.Option(True, "--defer/--no-defer", help="The DEFER-style chain, for float32."),
    with_replicas: bool = typer.Option(True, "--replicas/--no-replicas", help="The whole model on every board."),
    with_tls: bool = typer.Option(False, "--tls", help="Each chain with mutual TLS as well, in turn with plaintext."),
    replan: bool = typer.Option(False, "--replan", help="Plan anew, even if cuts are kept from an earlier run."),
    as_json: bool = typer.Option(False, "--json", help="Print rows as JSON."),
    json_file: Optional[Path] = typer.Option(None, metavar="FILE", help="Where to write the rows, table or not."),
    plot: Optional[Path] = typer.Option(None, metavar="FILE", help=".svg, .png or .pdf to draw the rows into."),
) -> None:
    """Measure chains on emulated boards, all cases in turns.

    The first run plans for some minutes for each model, dtype and link; the cuts are kept.

    With several batches, what one gains in images per second and costs in latency is in rows below one another.

    Example: python -m benchmarks.chain --models ResNet50 --dtypes float32 --boards 1,8 --link-mbit-s 1000
    """
    if plot is not None:
        require_format(plot)
    settings = Settings(
        models=split_words(models),
        dtypes=split_words(dtypes),
        boards=split_counts("--boards", boards),
        links_mbit_s=split_numbers("--link-mbit-s", link_mbit_s),
        cores=cores,
        spare_core=spare_core,
        codec=codec,
        batches=split_counts("--batch", batch),
        frames=frames,
        seconds=seconds,
        turns=turns,
        with_replicas=with_replicas,
        with_defer=with_defer,
        with_tls=with_tls,
        replan=replan,
    )
    machine = flat_rows(BENCHMARK, [this_machine()])[0]
    rows: list[FlatRow] = []
    with progress() as display:
        task = display.add_task("starting boards", total=None)
        campaign = Campaign(settings, lambda what: display.update(task, description=what))
        for row in campaign.rows():
            rows.append({**flat_rows(BENCHMARK, [row])[0], **machine})
            if json_file is not None:
                write_rows(json_file, rows)  # what is measured stays, whatever comes
    if plot is not None:
        plot_rows(rows, plot)
    if as_json:
        print_json(rows)
        return
    show_rows(rows)
    for note in campaign.notes:
        print(f"note: {note}")


def main() -> None:
    """Entry point of `python -m benchmarks.chain`."""
    run(app, (EmulationError, ChainBenchmarkError, PlannerError, ConverterError))

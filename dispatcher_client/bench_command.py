"""`python -m dispatcher_client bench`: what a chain of boards does, and what an image costs it."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Optional

import typer

from bundle import open_bundle
from dispatcher_client.bench import ReplyLog, run_bench
from dispatcher_client.bench_cost import CostMeter, measure_one_board
from dispatcher_client.bench_inputs import inputs_to_compare, split_inputs
from dispatcher_client.bench_plot import plot_bench
from dispatcher_client.bench_table import show_cost, show_effects, show_figures
from dispatcher_client.command_options import (
    BOARDS,
    BUNDLE,
    CODEC,
    JSON,
    PLAN,
    TIMEOUT,
    TRACE,
    read_values,
    require_directory,
    shown_uploads,
)
from dispatcher_client.dispatcher import Dispatcher
from dispatcher_client.micro_batches import single_specs
from dispatcher_client.plots import require_plots
from dispatcher_client.tracing import write_trace
from fleet.inventory import parse_boards
from fleet.options import CREDENTIALS, INSECURE
from terminal import print_json, progress
from transport.credentials import choose_credentials


def bench(
    bundle: Path = BUNDLE,
    boards: str = BOARDS,
    frames: int = typer.Option(200, min=1, help="Frames at full load."),
    input_file: Optional[Path] = typer.Option(
        None,
        "--input",
        metavar="FILE",
        help="Input to repeat; several, along the first dimension, take turns. (default: the bundle's sample)",
    ),
    plan: Optional[Path] = PLAN,
    credentials_dir: Optional[Path] = CREDENTIALS,
    insecure: bool = INSECURE,
    codec: str = CODEC,
    window: Optional[int] = typer.Option(
        None, min=1, help="Most frames in flight in a chain. (default: set by what the answers show)"
    ),
    batch_wait_ms: float = typer.Option(
        5.0, min=0.0, help="How long an input waits for others to fill its frame, if BUNDLE was split for a batch."
    ),
    one_board: bool = typer.Option(
        False, "--one-board", help="Have the first board measure the whole model, too, to compare with."
    ),
    plot: Optional[Path] = typer.Option(
        None, metavar="FILE", help="Draw the stages' times, the latencies and the pipeline: .svg, .png or .pdf."
    ),
    trace: Optional[Path] = TRACE,
    metrics: Optional[str] = typer.Option(
        None, metavar="HOST:PORT", help="Let Prometheus scrape the dispatcher there meanwhile."
    ),
    timeout_s: float = TIMEOUT,
    as_json: bool = JSON,
) -> None:
    """Measure throughput, its share of the bound, latency, what each stage does, and what an image costs.

    Costs are joules where boards have a sensor, and processor seconds of their services everywhere. With lossy codecs among
    --codec, compare their answers, too: each of these codecs alone against lossless transport. Give several real inputs for
    that, or it takes variations of the sample.

    Example: python -m dispatcher_client bench parts/ --boards boards.yaml --frames 500
    """
    require_plots(plot)
    for path, what in ((plot, "the picture"), (trace, "the trace")):
        require_directory(path, what)
    credentials = choose_credentials(credentials_dir, insecure)
    log = ReplyLog()
    opened = open_bundle(bundle)
    specs = single_specs(opened.manifest.inputs, opened.batch)
    values = opened.load_sample()[0] if input_file is None else read_values(input_file)
    inputs = split_inputs(specs, values)
    with (
        shown_uploads() as on_upload,
        Dispatcher(
            opened,
            parse_boards(boards),
            plan=plan,
            credentials=credentials,
            insecure=insecure,
            codec=codec,
            window=window,
            batch_wait_ms=batch_wait_ms,
            open_timeout_s=timeout_s,
            reply_timeout_s=timeout_s,
            recovers=False,  # the chain that was asked for is measured, or none
            metrics=metrics,
            on_reply=log,
            on_upload=on_upload,
        ) as chain,
        progress() as display,
    ):
        task = display.add_task("frames", total=frames)
        used = [stage.placement.board for stage in chain.stages]
        meter = CostMeter(used, credentials)
        figures = run_bench(
            chain, log, itertools.cycle(inputs), frames, lambda done: display.update(task, completed=done), meter
        )
        loaded = list(log.reports)
        if chain.has_lossy_codecs:
            display.update(task, description="comparing answers")
        compared, source = inputs_to_compare(specs, inputs, is_sample=input_file is None)
        effects = chain.compare_codecs(compared)
        lossless_only = "; not through lossy codecs" if chain.has_lossy_codecs else ""
        text = f"{chain.promise.text}{lossless_only}"
        if trace is not None:
            write_trace(loaded, trace, chain.stages)
    whole = measure_one_board(opened, used[0], credentials) if one_board else None
    cost = meter.cost(frames * opened.batch, whole)
    if plot is not None:
        plot_bench(figures, loaded, plot)
    if as_json:
        changes = {"codec_effects": [e.as_json() for e in effects], "compared_inputs": source if effects else None}
        print_json({**figures.as_json(), "cost": cost.as_json(), "bits": text, **changes})
    else:
        show_figures(figures)
        show_cost(cost)
        if effects:
            show_effects(effects, source)
        print(f"bits: {text}")

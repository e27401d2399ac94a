"""Latency of a model that a group of emulated boards shares, against one board: `python -m benchmarks.strips`."""

from __future__ import annotations

import hashlib
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import typer

from benchmarks.boards import BoardSpec, EmulatedBoards, EmulationError
from benchmarks.keras_models import tflite_file
from benchmarks.machine import this_machine
from benchmarks.rows import print_rows
from bundle import Bundle, BundleWriter, Plan, PlannedChain, PlannedStage, open_bundle
from converter.convert import convert_to_tflite
from converter.planned_split import PlannedSplit
from converter.split_model import LoadedModel, SplitRequest, split_model
from dispatcher_client import Board, Dispatcher, ReplyReport
from fleet.board_control import BoardControl
from fleet.event_loop import run_in_loop
from fleet.inventory import Inventory
from partitioning.runtime_floor import read_runtime_floor
from planner.board_profiles import ProfileSettings, describe_boards, profile_file
from planner.errors import PlannerError
from planner.links import measure_links
from planner.shared_plan import SharedChoice, choose_sharing
from planner.strip_times import StripModel, measure_strips
from runtime import load_runtime
from terminal import command_app, print_table, progress, run

_WARM_UP_FRAMES = 3
_ALIKE = "alike"
_COLUMNS = (
    "model", "dtype", "case", "boards", "segments", "ms", "speed-up", "planned ms", "planned speed-up", "kB exchanged",
    "computes ms", "waits ms",
)  # fmt: skip


@dataclass(frozen=True)
class Row:
    """A model on a group of boards, asked for one image at a time; medians over the frames of all runs.

    `predicted_speedup` is the plan's; `bytes_exchanged` what boards of the group send one another for an image.
    `compute_ms`, `wait_ms` of the board that computes longest and of the one that waits longest.
    """

    case: str
    model: str
    dtype: str
    boards: int
    cores_per_board: float
    link_mbit_s: float
    latency_ms: float
    speedup_vs_one_board: float
    predicted_ms: float
    predicted_speedup: float
    bytes_exchanged: float
    segments: int
    compute_ms: float
    wait_ms: float
    processor: str
    day: str


@dataclass(frozen=True)
class _Run:
    """Of one plan: every frame's latency, and the medians of what the boards said."""

    latencies_ms: list[float]
    bytes_exchanged: float
    compute_ms: float
    wait_ms: float


app = command_app("Measures what boards gain by sharing a model.")


@app.command()
def strips(
    models: str = typer.Option("VGG16,ResNet50", help="Networks of keras.applications."),
    dtypes: str = typer.Option("float32,int8", help="Of each network."),
    boards: str = typer.Option("2,3,4", help="Sizes of groups."),
    cores: float = typer.Option(0.2, help="Share of a core of each board."),
    link_mbit_s: float = typer.Option(1000.0, help="Each board's link."),
    frames: int = typer.Option(15, min=3, help="Frames of each run."),
    runs: int = typer.Option(3, min=1, help="Runs of each group, in turn with the one board."),
    as_json: bool = typer.Option(False, "--json", help="Print rows as JSON."),
) -> None:
    """Compare groups of boards with one board: latency of one image at a time, measured and as planned.

    Example: python -m benchmarks.strips --models ResNet50 --dtypes int8 --boards 2,4
    """
    sizes = [int(size) for size in boards.split(",")]
    rows: list[Row] = []
    with progress() as display:
        for name in models.split(","):
            for dtype in dtypes.split(","):
                task = display.add_task(f"{name} {dtype}", total=None)
                rows += _rows(name, dtype, sizes, cores, link_mbit_s, frames, runs)
                display.remove_task(task)
    if as_json:
        print_rows("strips", rows)
        return
    _print(rows)


def _rows(
    name: str, dtype: str, sizes: Sequence[int], cores: float, link_mbit_s: float, frames: int, runs: int
) -> list[Row]:
    file = tflite_file(name, dtype)
    specs = [BoardSpec(f"pi{i + 1}", cores=cores, link_bits_per_s=link_mbit_s * 1e6) for i in range(max(sizes))]
    arguments = (
        "--threads",
        "1",
        "--trial-load",
        "never",
    )  # of files made here; a trial starts a Python at a fifth of a core
    with tempfile.TemporaryDirectory() as scratch, EmulatedBoards(specs, node_arguments=arguments) as emulated:
        named = [replace(board, group=_ALIKE) for board in emulated.named]
        choices = emulated.call(_choose, file, named, sizes, timeout_s=3600.0)
        bundle = _split(file, [choice.plan for choice in choices], Path(scratch))
        alone = _plan(choices[0].plan.model, [named[0].name])
        plans = [alone, *(choice.plan for choice in choices)]
        found: list[list[_Run]] = [[] for _ in plans]
        for _ in range(runs):
            for place, plan in enumerate(plans):
                found[place].append(emulated.call(_measure, bundle, named, plan, frames, timeout_s=1800.0))
        one_ms = _latency_ms(found[0])
        predicted_ms = choices[0].alone_s * 1e3
        rows = [_row("one board", name, dtype, 1, cores, link_mbit_s, found[0], one_ms, predicted_ms, 1.0, 1)]
        for choice, of_plan in zip(choices, found[1:]):
            n_boards = len(choice.plan.board_names)
            rows.append(
                _row(
                    "shared" if n_boards > 1 else "shared: one board is best",
                    name, dtype, n_boards, cores, link_mbit_s, of_plan, one_ms,
                    choice.latency_s * 1e3, choice.alone_s / choice.latency_s, len(choice.shared.segments),
                )
            )  # fmt: skip
        return rows


def _row(
    case: str,
    model: str,
    dtype: str,
    n_boards: int,
    cores: float,
    link_mbit_s: float,
    found: Sequence[_Run],
    one_ms: float,
    predicted_ms: float,
    predicted_speedup: float,
    segments: int,
) -> Row:
    machine = this_machine()
    return Row(
        case=case,
        model=model,
        dtype=dtype,
        boards=n_boards,
        cores_per_board=cores,
        link_mbit_s=link_mbit_s,
        latency_ms=_latency_ms(found),
        speedup_vs_one_board=one_ms / _latency_ms(found),
        predicted_ms=predicted_ms,
        predicted_speedup=predicted_speedup,
        bytes_exchanged=found[0].bytes_exchanged,
        segments=segments,
        compute_ms=statistics.median(run.compute_ms for run in found),
        wait_ms=statistics.median(run.wait_ms for run in found),
        processor=machine.processor,
        day=machine.day,
    )


def _latency_ms(found: Sequence[_Run]) -> float:
    return statistics.median(ms for run in found for ms in run.latencies_ms)


def _choose(file: Path, boards: Sequence[Board], sizes: Sequence[int]) -> list[SharedChoice]:
    """Runs where the dispatcher is: measures strips and links once, and plans for each size."""
    model = LoadedModel.from_converted(convert_to_tflite(file, work_dir=file.parent, on_progress=_ignore))
    strip_model = StripModel(model.graph)
    settings = ProfileSettings().rough

    async def measure() -> list[SharedChoice]:
        records = await describe_boards(boards, settings)
        times = await measure_strips(strip_model, records, settings)
        links = await measure_links(Inventory(tuple(boards)), credentials=None)
        async with BoardControl(boards[0], credentials=None, timeout_s=settings.timeout_s) as control:
            sha256 = hashlib.sha256(model.data).hexdigest()
            alone = await profile_file(control, sha256, model.data, read_runtime_floor(model.graph), settings)
        found = [
            choose_sharing(file.stem, strip_model, dict(list(records.items())[:size]), times[:size], links)
            for size in sizes
        ]
        # The sum of its operators says too much of the whole: each was a run of its own.
        return [replace(choice, alone_s=alone.run_s) for choice in found]

    return run_in_loop(measure())


def _plan(model: str, boards: Sequence[str]) -> Plan:
    return Plan(model, "latency", (PlannedChain((PlannedStage(boards[0]),)),))


def _split(file: Path, plans: Sequence[Plan], scratch: Path) -> Path:
    """One bundle with the whole model and every plan's splitting."""
    model = LoadedModel.from_converted(convert_to_tflite(file, work_dir=scratch, on_progress=_ignore))
    shared = [PlannedSplit.from_plan(plan, len(model.graph.operators)) for plan in plans if len(plan.board_names) > 1]
    request = SplitRequest(
        file,
        "tflite",
        "as-is",
        None,
        [()] * (1 + len(shared)),
        groups=[{}, *(groups for s in shared for groups in s.groups)],
    )
    with BundleWriter(scratch / "bundle") as writer:
        return split_model(model, request, writer, load_runtime(), None, _ignore).path


def _measure(bundle: Path, boards: Sequence[Board], plan: Plan, frames: int) -> _Run:
    """Runs where the dispatcher is: one image after the other."""
    opened: Bundle = open_bundle(bundle)
    values = opened.load_sample()[0]
    reports: list[ReplyReport] = []
    latencies_ms = []
    with Dispatcher(
        opened, list(boards), plan=plan, insecure=True, open_timeout_s=100.0, recovers=False, on_reply=reports.append
    ) as chain:
        for _ in range(_WARM_UP_FRAMES + frames):
            begun_s = time.perf_counter()
            chain.infer(values, timeout_s=300.0)
            latencies_ms.append((time.perf_counter() - begun_s) * 1e3)
    timings = [report.timings for report in reports[-frames:]]
    return _Run(
        latencies_ms[_WARM_UP_FRAMES:],
        statistics.median(sum(t.pieces_sent_bytes for t in of_frame) for of_frame in timings),
        statistics.median(max(t.compute_ns for t in of_frame) for of_frame in timings) / 1e6,
        statistics.median(max(t.pieces_wait_ns for t in of_frame) for of_frame in timings) / 1e6,
    )


def _print(rows: Sequence[Row]) -> None:
    print_table(
        f"one image at a time, boards of {rows[0].cores_per_board:g} core, {rows[0].link_mbit_s:g} Mbit/s",
        _COLUMNS,
        (
            (
                r.model, r.dtype, r.case, r.boards, r.segments, f"{r.latency_ms:.1f}", f"{r.speedup_vs_one_board:.2f} x",
                f"{r.predicted_ms:.1f}", f"{r.predicted_speedup:.2f} x", f"{r.bytes_exchanged / 1e3:.0f}",
                f"{r.compute_ms:.1f}", f"{r.wait_ms:.1f}",
            )
            for r in rows
        ),
        text_columns=3,
    )  # fmt: skip


def _ignore(_what: str, _share: float | None) -> None:
    pass


def main() -> None:
    """Entry point of `python -m benchmarks.strips`."""
    run(app, (EmulationError, PlannerError))


if __name__ == "__main__":
    main()

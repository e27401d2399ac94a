"""Latency of a model that a group of emulated boards shares, against one board: `python -m benchmarks.strips`."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import typer

from benchmarks.boards import BoardSpec, EmulatedBoards, EmulationError
from benchmarks.keras_models import tflite_file
from benchmarks.machine import this_machine
from benchmarks.rows import flat_rows, print_rows
from benchmarks.strips_table import HEADINGS, cells
from bundle import Bundle, BundleWriter, Plan, PlannedChain, PlannedStage, open_bundle
from converter.convert import convert_to_tflite
from converter.split_model import LoadedModel, SplitRequest, split_model
from dispatcher_client import Board, Dispatcher, ReplyReport
from fleet.event_loop import run_in_loop
from fleet.inventory import Inventory
from partitioning.strips.costs import BoardTimes, GroupLinks, time_group
from partitioning.strips.group import SharedSegment
from partitioning.strips.search import SharedPlan, plan_shared, time_segments
from planner.board_profiles import ProfileSettings, describe_boards
from planner.errors import PlannerError
from planner.group_trial import SharingTrials, try_sharings
from planner.links import measure_links
from planner.shared_plan import busy_segments, group_costs, moving_s, plan_of
from planner.strip_times import StripModel, measure_strips
from runtime import load_runtime
from terminal import command_app, print_table, progress, run

_WARM_UP_FRAMES = 3


@dataclass(frozen=True)
class Row:
    """A model on a group of boards, asked for one image at a time; medians over the frames of all runs.

    `cores_per_board` of the first board, `speeds` of each one as shares of that. `predicted_speedup` is the plan's;
    `predicted_wire_ms` of the planned latency what would be gone if pieces arrived at once: the most that can be gained by
    computing first what neighbours wait for. `bytes_exchanged` what boards of the group send one another for an image.
    `compute_ms`, `wait_ms` of the board that computes longest and of the one that waits longest; `service_cpu_ms` and
    `invoke_cpu_ms`: processor time for a frame of the busiest board in all, and inside the runtime.
    """

    case: str
    model: str
    dtype: str
    boards: int
    cores_per_board: float
    speeds: str
    link_mbit_s: float
    latency_ms: float
    speedup_vs_one_board: float
    predicted_ms: float
    predicted_speedup: float
    predicted_wire_ms: float
    bytes_exchanged: float
    segments: int
    compute_ms: float
    wait_ms: float
    service_cpu_ms: float
    invoke_cpu_ms: float
    processor: str
    day: str


@dataclass(frozen=True)
class _Cluster:
    """Boards: the first one's share of a core, and of that what each has; and each one's link."""

    cores: float
    speeds: Sequence[float]
    link_mbit_s: float

    @property
    def specs(self) -> list[BoardSpec]:
        """As they are emulated."""
        return [
            BoardSpec(f"pi{i + 1}", cores=self.cores * speed, link_bits_per_s=self.link_mbit_s * 1e6)
            for i, speed in enumerate(self.speeds)
        ]

    def alike(self, boards: Sequence[Board]) -> list[Board]:
        """Those of one speed as one group: they are measured once."""
        return [replace(board, group=f"speed {speed:g}") for board, speed in zip(boards, self.speeds)]


@dataclass(frozen=True)
class _Case:
    """A way to share the model, how long a frame is said to take, and of that while pieces are on their way.

    Of our own plan it is what a trial of it took, as users are told; of others it is planned from the same measurements.
    """

    name: str
    plan: Plan
    shared: SharedPlan
    planned_s: float
    wire_s: float


@dataclass(frozen=True)
class _Run:
    """Of one plan: every frame's latency, and the medians of what the boards said."""

    latencies_ms: list[float]
    bytes_exchanged: float
    compute_ms: float
    wait_ms: float
    service_cpu_ms: float
    invoke_cpu_ms: float


app = command_app("Measures what boards gain by sharing a model.")


@app.command()
def strips(
    models: str = typer.Option("VGG16,ResNet50", help="Networks of keras.applications."),
    dtypes: str = typer.Option("float32,int8", help="Of each network."),
    boards: str = typer.Option("2,3,4", help="Sizes of groups."),
    cores: float = typer.Option(0.2, help="Share of a core of the first board."),
    speeds: str = typer.Option(
        "", metavar="S,...", help="Of each board, of the first one's; as 1,0.5,0.25. (default: alike)"
    ),
    against: bool = typer.Option(
        False,
        "--against",
        help="Measure also what others do: a leader that gathers and scatters, shares for equal boards, layer by layer.",
    ),
    link_mbit_s: float = typer.Option(1000.0, help="Each board's link."),
    frames: int = typer.Option(8, min=3, help="Frames of each run."),
    runs: int = typer.Option(5, min=1, help="Runs of each group, in turn with the one board."),
    as_json: bool = typer.Option(False, "--json", help="Print rows as JSON."),
) -> None:
    """Compare groups of boards with one board: latency of one image at a time, measured and as planned.

    Example: python -m benchmarks.strips --models ResNet50 --dtypes int8 --boards 2,4
    """
    sizes = [int(size) for size in boards.split(",")]
    board_speeds = [float(speed) for speed in speeds.split(",")] if speeds else [1.0] * max(sizes)
    if len(board_speeds) < max(sizes):
        raise EmulationError(f"{len(board_speeds)} speeds were given for {max(sizes)} boards; each needs one.")
    cluster = _Cluster(cores, board_speeds[: max(sizes)], link_mbit_s)
    rows: list[Row] = []
    with progress() as display:
        for name in models.split(","):
            for dtype in dtypes.split(","):
                task = display.add_task(f"{name} {dtype}", total=None)
                rows += _rows(name, dtype, sizes, cluster, frames, runs, against)
                display.remove_task(task)
    if as_json:
        print_rows("strips", rows)
        return
    _print(rows)


def _rows(
    name: str, dtype: str, sizes: Sequence[int], cluster: _Cluster, frames: int, runs: int, against: bool
) -> list[Row]:
    file = tflite_file(name, dtype)
    # Of files made here; a trial starts a Python at a fifth of a core.
    arguments = ("--threads", "1", "--trial-load", "never")
    with tempfile.TemporaryDirectory() as scratch, EmulatedBoards(cluster.specs, node_arguments=arguments) as emulated:
        boards = cluster.alike(emulated.named)
        alone_s, cases = emulated.call(_choose, file, boards, sizes, against, timeout_s=7200.0)
        bundles = _split(file, cases, Path(scratch))
        plans = [_plan(file.stem, [boards[0].name]), *(case.plan for case in cases)]
        found: list[list[_Run]] = [[] for _ in plans]
        for _ in range(runs):
            for bundle, plan, of_plan in zip(bundles, plans, found):
                of_plan.append(emulated.call(_measure, bundle, boards, plan, frames, timeout_s=3600.0))
    speed_of = dict(zip((board.name for board in boards), cluster.speeds))
    one_ms = _latency_ms(found[0])
    rows = []
    for case, plan, of_plan in zip([None, *cases], plans, found):
        planned_s = alone_s if case is None else case.planned_s
        rows.append(
            Row(
                case="one board" if case is None else case.name,
                model=name,
                dtype=dtype,
                boards=len(plan.board_names),
                cores_per_board=cluster.cores,
                speeds=",".join(f"{speed_of[board]:g}" for board in plan.board_names),
                link_mbit_s=cluster.link_mbit_s,
                latency_ms=_latency_ms(of_plan),
                speedup_vs_one_board=one_ms / _latency_ms(of_plan),
                predicted_ms=planned_s * 1e3,
                predicted_speedup=alone_s / planned_s,
                predicted_wire_ms=0.0 if case is None else case.wire_s * 1e3,
                bytes_exchanged=of_plan[0].bytes_exchanged,
                segments=1 if case is None else len(case.shared.segments),
                compute_ms=statistics.median(run.compute_ms for run in of_plan),
                wait_ms=statistics.median(run.wait_ms for run in of_plan),
                service_cpu_ms=statistics.median(run.service_cpu_ms for run in of_plan),
                invoke_cpu_ms=statistics.median(run.invoke_cpu_ms for run in of_plan),
                processor=this_machine().processor,
                day=this_machine().day,
            )
        )
    return rows


def _latency_ms(found: Sequence[_Run]) -> float:
    return statistics.median(ms for run in found for ms in run.latencies_ms)


def _choose(file: Path, boards: Sequence[Board], sizes: Sequence[int], against: bool) -> tuple[float, list[_Case]]:
    """Runs where the dispatcher is: measures strips and links once, and plans for each size.

    Returns: seconds of the whole model on the first board, and the ways to share it.
    """
    model = LoadedModel.from_converted(convert_to_tflite(file, work_dir=file.parent, on_progress=_ignore))
    strip_model = StripModel(model.graph)
    settings = ProfileSettings().rough

    async def measure() -> tuple[float, list[_Case]]:
        records = await describe_boards(boards, settings)
        times = await measure_strips(strip_model, records, settings)
        links = await measure_links(Inventory(tuple(boards)), credentials=None)
        cases: list[_Case] = []
        alone_s: list[float] = []
        for size in sizes:
            costs, between = group_costs(dict(list(records.items())[:size]), times[:size], links)
            names = [board.name for board in boards[:size]]
            to_leader_s = moving_s(strip_model.graph, names[0], costs[0].message, links)
            at_once = GroupLinks(0 * between.latency_s, 0 * between.s_per_byte)
            trials = await try_sharings(strip_model, boards[:size], costs, between, to_leader_s, ProfileSettings())
            alone_s.append(trials.alone_s)
            for case, shared, tried_s in _ways(strip_model, costs, between, trials, against):
                planned_s = shared.time.latency_s
                # Of our own plan, what it is planned to take is corrected by trials; links are not.
                with_wire_s, without_s = (
                    time_group(strip_model.graph, shared.group, costs, among).latency_s for among in (between, at_once)
                )
                wire_s = with_wire_s - without_s
                said_s = planned_s + to_leader_s if tried_s is None else tried_s
                cases.append(_Case(case, plan_of(file.stem, names, shared), shared, said_s, wire_s))
        return statistics.median(alone_s), cases

    return run_in_loop(measure())


def _ways(
    model: StripModel, boards: Sequence[BoardTimes], links: GroupLinks, trials: SharingTrials, against: bool
) -> Iterator[tuple[str, SharedPlan, float | None]]:
    """The plan that boardline makes, with what it took; and what others make of the same measurements, timed as the boards are."""
    places = model.places[1:-1]
    timed = partial(time_segments, model.graph, boards, links)
    if trials.best is not None and trials.is_gain:
        yield "shared", trials.best.shared, trials.best.latency_s
    else:
        leader = tuple(float(board == 0) for board in range(len(boards)))
        yield "shared", timed([SharedSegment(0, len(model.graph.operators), None, leader)]), trials.alone_s
    if not against or trials.best is None:
        return

    best = trials.best.shared
    yield "leader gathers and scatters", plan_shared(model.graph, boards, links, places, gathered=True), None
    yield (
        "layer by layer",
        timed(
            [
                replace(segment, start_op=op, stop_op=op + 1)
                for segment in best.segments
                for op in range(segment.start_op, segment.stop_op)
            ]
        ),
        None,
    )
    if len({float(board.whole_s.sum()) for board in boards}) > 1:
        as_first = plan_shared(model.graph, [boards[0]] * len(boards), links, places)
        yield "equal shares", timed(as_first.segments), None


def _plan(model: str, boards: Sequence[str]) -> Plan:
    return Plan(model, "latency", (PlannedChain((PlannedStage(boards[0]),)),))


def _split(file: Path, cases: Sequence[_Case], scratch: Path) -> list[Path]:
    """A bundle of the whole model, then one for each way to share it: they may differ in nothing that a plan names."""
    model = LoadedModel.from_converted(convert_to_tflite(file, work_dir=scratch, on_progress=_ignore))
    bundles: list[Path] = []
    for groups in ({}, *({0: busy_segments(case.shared)} if len(case.plan.board_names) > 1 else {} for case in cases)):
        request = SplitRequest(file, "tflite", "as-is", None, [()], groups=[groups])
        with BundleWriter(scratch / str(len(bundles))) as writer:
            bundles.append(split_model(model, request, writer, load_runtime(), None, _ignore).path)
    return bundles


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
    first, last = timings[0], timings[-1]
    return _Run(
        latencies_ms[_WARM_UP_FRAMES:],
        statistics.median(sum(t.pieces_sent_bytes for t in of_frame) for of_frame in timings),
        statistics.median(max(t.compute_ns for t in of_frame) for of_frame in timings) / 1e6,
        statistics.median(max(t.pieces_wait_ns for t in of_frame) for of_frame in timings) / 1e6,
        max(b.service_cpu_ns - a.service_cpu_ns for a, b in zip(first, last)) / (frames - 1) / 1e6,
        statistics.median(max(t.invoke_cpu_ns for t in of_frame) for of_frame in timings) / 1e6,
    )


def _print(rows: Sequence[Row]) -> None:
    print_table("one image at a time", HEADINGS, cells(flat_rows("strips", rows)), text_columns=3)


def _ignore(_what: str, _share: float | None) -> None:
    pass


def main() -> None:
    """Entry point of `python -m benchmarks.strips`."""
    run(app, (EmulationError, PlannerError))


if __name__ == "__main__":
    main()

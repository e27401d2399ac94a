"""Prediction and gain of a plan, on emulated boards of unequal speed: `python -m benchmarks.placement`."""

from __future__ import annotations

import itertools
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

import typer

from benchmarks.boards import BoardSpec, EmulatedBoards, EmulationError
from benchmarks.keras_models import tflite_file
from benchmarks.placement_baselines import best_equal_split, best_flops_split
from benchmarks.rows import print_rows
from bundle import BundleWriter, Plan, PlannedChain, PlannedStage, open_bundle
from converter.convert import convert_to_tflite
from converter.split_model import LoadedModel, SplitRequest, split_model
from dispatcher_client import Board, Dispatcher
from fleet.event_loop import run_in_loop
from fleet.inventory import Inventory
from partitioning.planning import Chain, build_problem
from planner.board_profiles import ProfileSettings
from planner.boards_plan import Listeners, PlanWishes, check_plan, measure_fleet, plan_on_boards
from planner.costs import assemble_costs
from planner.errors import PlannerError
from planner.plot import plot_plan
from planner.sources import open_model
from runtime import load_runtime
from terminal import command_app, print_table, progress, run

_WARM_UP_FRAMES = 12
_PLOT = typer.Option(None, metavar="FILE", help=".svg, .png or .pdf to draw the plan into.")


@dataclass(frozen=True)
class Row:
    """One placement: what was predicted, the median of what was measured, and where it ran."""

    case: str
    model: str
    dtype: str
    boards: int
    cores_of_boards: str
    link_mbit_s: float
    chains: int
    images_per_s: float
    predicted_images_per_s: float
    share_of_prediction: float
    speedup_of_plan: float
    route: str


@dataclass(frozen=True)
class _Candidate:
    case: str
    plan: Plan
    predicted_per_s: float


app = command_app("Measures what a plan promises and gains.")


@app.command()
def placement(
    model: str = typer.Option("ResNet50", help="A network of keras.applications."),
    cores: str = typer.Option("0.45,0.3,0.2,0.12", help="Share of a core of each board."),
    link_mbit_s: float = typer.Option(1000.0, help="Each board's link."),
    memory_mib: Optional[int] = typer.Option(
        None, help="Memory of each board; little of it makes a chain the only way. (default: enough)"
    ),
    one_chain: bool = typer.Option(False, "--one-chain", help="Plan one chain, even if several are faster."),
    frames: int = typer.Option(150, min=30, help="Frames of each run."),
    runs: int = typer.Option(3, min=1, help="Runs of each placement, in turn."),
    plot: Optional[Path] = _PLOT,
    as_json: bool = typer.Option(False, "--json", help="Print rows as JSON."),
) -> None:
    """Compare a plan's prediction with its measured throughput, and with equal and FLOPS-proportional parts.

    Example: python -m benchmarks.placement --memory-mib 90
    """
    shares = [float(share) for share in cores.split(",")]
    specs = [BoardSpec(f"pi{i + 1}", cores=c, link_bits_per_s=link_mbit_s * 1e6) for i, c in enumerate(shares)]
    file = tflite_file(model)
    with progress() as display, tempfile.TemporaryDirectory() as scratch, EmulatedBoards(specs) as boards:
        task = display.add_task("profiling and planning", total=None)
        memory_bytes = None if memory_mib is None else memory_mib * 2**20
        named = [Board(b.name, b.address, memory_bytes=memory_bytes) for b in boards.named]
        candidates = boards.call(_plan, file, named, shares, one_chain, plot, timeout_s=1800.0)
        display.update(task, description="splitting")
        bundle = _split(file, [c.plan for c in candidates], Path(scratch))
        measured: dict[str, list[float]] = {c.case: [] for c in candidates}
        for done, candidate in enumerate(candidates * runs):
            display.update(
                task, description=f"measuring {candidate.case}", total=len(candidates) * runs, completed=done
            )
            rate = boards.call(_measure, bundle, named, candidate.plan, frames, timeout_s=600.0)
            measured[candidate.case].append(rate)
        warnings = [boards.warning] if boards.warning else []
    medians = {case: statistics.median(rates) for case, rates in measured.items()}
    rows = _rows(model, cores, link_mbit_s, candidates, medians)
    if as_json:
        print_rows("placement", rows)
        return
    print_table(
        f"{model} on boards of {cores} cores, {link_mbit_s:g} Mbit/s",
        ("case", "route", "predicted/s", "measured/s", "measured/predicted", "plan is faster by"),
        (
            (
                r.case,
                r.route,
                f"{r.predicted_images_per_s:.2f}",
                f"{r.images_per_s:.2f}",
                f"{r.share_of_prediction:.3f}",
                f"{r.speedup_of_plan:.2f} x",
            )
            for r in rows
        ),
        text_columns=2,
    )
    for line in warnings:
        print(f"warning: {line}")


def _plan(
    file: Path, boards: Sequence[Board], speeds: Sequence[float], one_chain: bool, plot: Path | None
) -> list[_Candidate]:
    """Runs where the dispatcher is: the plan, and the two baselines at their best."""
    model, inventory = open_model(file), Inventory(tuple(boards))
    settings = ProfileSettings()
    wishes = PlanWishes(n_chains=1 if one_chain else None)
    measured = run_in_loop(measure_fleet(model, inventory, settings, Listeners()))
    planned = run_in_loop(plan_on_boards(model, inventory, wishes, settings, Listeners(), measured))
    if plot is not None:
        plot_plan(planned.report, model, plot)
    costs = assemble_costs(model, measured.records, measured.links)
    problem = build_problem(costs.model, costs.boards, costs.links)
    found = [_Candidate("planned", planned.plan, planned.report.rate_per_s)]
    for case, chain in (
        ("best equal split", best_equal_split(model, costs, problem)),
        ("best FLOPS-proportional split", best_flops_split(model, problem, speeds)),
    ):
        plan = _as_plan(model.name, model.positions, chain, costs.names)
        checked = run_in_loop(check_plan(model, plan, inventory, settings, Listeners(), measured))
        found.append(_Candidate(case, checked.plan, checked.report.rate_per_s))
    return found


def _as_plan(name: str, positions: Sequence[int], chain: Chain, names: Sequence[str]) -> Plan:
    untils: list[int | None] = [*(positions[p] for p in chain.positions[1:-1]), None]
    return Plan(
        name, "throughput", (PlannedChain(tuple(PlannedStage(names[b], u) for b, u in zip(chain.boards, untils))),)
    )


def _split(file: Path, plans: Sequence[Plan], scratch: Path) -> Path:
    """One bundle that holds every plan's splitting."""
    converted = convert_to_tflite(file, work_dir=scratch, on_progress=lambda what, share: None)
    cuts = dict.fromkeys(tuple(map(str, chain.cuts)) for plan in plans for chain in plan.chains)
    request = SplitRequest(file, "tflite", "as-is", None, list(cuts))
    with BundleWriter(scratch / "bundle") as writer:
        model = LoadedModel.from_converted(converted)
        return split_model(model, request, writer, load_runtime(), None, lambda what, share: None).path


def _measure(bundle: Path, boards: Sequence[Board], plan: Plan, frames: int) -> float:
    """Runs where the dispatcher is: answers per second in the steady state."""
    opened = open_bundle(bundle)
    values = opened.load_sample()[0]
    at_s = []
    with Dispatcher(opened, list(boards), plan=plan, insecure=True, open_timeout_s=120.0, recovers=False) as chain:
        for _ in chain.stream(itertools.repeat(values, frames)):
            at_s.append(time.perf_counter())
    return (len(at_s) - 1 - _WARM_UP_FRAMES) / (at_s[-1] - at_s[_WARM_UP_FRAMES])


def _rows(
    model: str, cores: str, link_mbit_s: float, candidates: Sequence[_Candidate], measured: dict[str, float]
) -> list[Row]:
    planned = measured[candidates[0].case]
    return [
        Row(
            case=c.case,
            model=model,
            dtype="float32",
            boards=len(c.plan.board_names),
            cores_of_boards=cores,
            link_mbit_s=link_mbit_s,
            chains=len(c.plan.chains),
            images_per_s=measured[c.case],
            predicted_images_per_s=c.predicted_per_s,
            share_of_prediction=measured[c.case] / c.predicted_per_s,
            speedup_of_plan=planned / measured[c.case],
            route=" | ".join(" > ".join(_stage(s) for s in chain.stages) for chain in c.plan.chains),
        )
        for c in candidates
    ]


def _stage(stage: PlannedStage) -> str:
    return stage.board if stage.until is None else f"{stage.board} [{stage.until}]"


def main() -> None:
    """Entry point of `python -m benchmarks.placement`."""
    run(app, (EmulationError, PlannerError))


if __name__ == "__main__":
    main()

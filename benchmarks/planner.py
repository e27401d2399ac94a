"""Optimality and time of the planner: `python -m benchmarks.planner`."""

from __future__ import annotations

import statistics
import time
from dataclasses import asdict, dataclass

import numpy as np
import typer

from benchmarks.planning_instances import cheapest_by_trying, random_problem
from partitioning.planning import ChainSearch, choose_side_by_side, judge_chain
from terminal import command_app, print_json, print_table, progress, run

_SEED = 2026


@dataclass(frozen=True)
class Row:
    """One case: how often the planner was worse than trying every chain, or the median time of one plan."""

    case: str
    instances: int
    cuts: int
    boards: int
    worse_than_brute_force: int | None
    time_ms: float


app = command_app("Measures the planner.")


@app.command()
def planner(
    instances: int = typer.Option(2000, min=1, help="Random instances to compare with brute force."),
    runs: int = typer.Option(5, min=1, help="Runs of each timed case."),
    as_json: bool = typer.Option(False, "--json", help="Print rows as JSON."),
) -> None:
    """Compare plans with brute force on small instances, and time large ones.

    Example: python -m benchmarks.planner --json
    """
    with progress() as display:
        display.add_task("planning", total=None)
        rows = [
            _against_brute_force(instances),
            _timed("one chain, unequal boards", 100, 8, 8, runs),
            _timed("one chain, 4 types", 500, 16, 4, runs),
            _timed("chains side by side, unequal boards", 100, 8, 8, runs, side_by_side=True),
            _timed("chains side by side, 4 types", 500, 16, 4, runs, side_by_side=True),
        ]
    if as_json:
        print_json([asdict(row) for row in rows])
        return
    print_table(
        "planner",
        ("case", "instances", "cuts", "boards", "worse than brute force", "ms"),
        (
            (
                r.case,
                r.instances,
                r.cuts or "1-5",
                r.boards or "1-4",
                "-" if r.worse_than_brute_force is None else r.worse_than_brute_force,
                f"{r.time_ms:.1f}",
            )
            for r in rows
        ),
    )


def _against_brute_force(instances: int) -> Row:
    generator = np.random.default_rng(_SEED)
    worse, times_ms = 0, []
    for _ in range(instances):
        n_boards = int(generator.integers(1, 5))
        problem = random_problem(
            generator, int(generator.integers(2, 7)), n_boards, int(generator.integers(1, n_boards + 1))
        )
        expected = cheapest_by_trying(problem)
        begun_s = time.perf_counter()
        search = ChainSearch(problem)
        feasible = bool(np.isfinite(search.bottleneck_s).any())
        chain = search.best() if feasible else None
        times_ms.append((time.perf_counter() - begun_s) * 1e3)
        if chain is None:
            worse += bool(np.isfinite(expected.bottleneck_s))
        else:
            worse += judge_chain(problem, chain).bottleneck_s != expected.bottleneck_s
    return Row("random, against trying every chain", instances, 0, 0, int(worse), statistics.median(times_ms))


def _timed(case: str, cuts: int, boards: int, types: int, runs: int, *, side_by_side: bool = False) -> Row:
    generator = np.random.default_rng(_SEED)
    times_ms = []
    for _ in range(runs):
        problem = random_problem(generator, cuts + 1, boards, types)
        begun_s = time.perf_counter()
        search = ChainSearch(problem)
        if side_by_side:
            choose_side_by_side(search)
        else:
            search.best()
        times_ms.append((time.perf_counter() - begun_s) * 1e3)
    return Row(case, runs, cuts, boards, None, statistics.median(times_ms))


def main() -> None:
    """Entry point of `python -m benchmarks.planner`."""
    run(app, ())


if __name__ == "__main__":
    main()

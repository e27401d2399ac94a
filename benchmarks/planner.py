"""Optimality, bounds and time of the planner: `python -m benchmarks.planner`."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Optional

import numpy as np
import typer

from benchmarks.planning_instances import cheapest_by_trying, cluster_problem, random_problem
from benchmarks.rows import print_rows
from benchmarks.seifer import BOARDS, MEMORY_MB
from benchmarks.seifer_comparison import Comparison, compare_all, gains_over
from benchmarks.seifer_heuristics import HEURISTICS
from benchmarks.seifer_models import MODELS
from partitioning.planning import ChainProblem, ChainSearch, choose_side_by_side, judge_chain
from partitioning.planning.cluster_search import ClusterPlan, plan_cluster
from partitioning.planning.problem import InfeasiblePlanError
from terminal import command_app, print_table, progress, run

_SEED = 2026
Bottleneck = Callable[[ChainProblem], float]


@dataclass(frozen=True)
class Row:
    """One case; what does not apply to it is None.

    Attributes:
        worse_than_brute_force: instances on which trying every chain found a faster one, or a chain at all.
        cuts: of each instance; None if they vary. boards: likewise.
        time_ms: of one plan, the median over the instances. slowest_ms: the longest.
        certified_gap: slowest step / lower bound - 1, the largest over the instances: 0.01 is 1 %.
        bottleneck_ms, lower_bound_ms: of the instance with the largest gap.
        heuristic: with whose chains ours are compared.
        mean_gain: its slowest step / ours, the geometric mean over the instances that need several boards and have a chain.
        gains: how many those are.
        never_worse: whether ours was never the slower.
    """

    case: str
    instances: int
    worse_than_brute_force: Optional[int] = None
    cuts: Optional[int] = None
    boards: Optional[int] = None
    time_ms: Optional[float] = None
    slowest_ms: Optional[float] = None
    certified_gap: Optional[float] = None
    bottleneck_ms: Optional[float] = None
    lower_bound_ms: Optional[float] = None
    heuristic: Optional[str] = None
    mean_gain: Optional[float] = None
    gains: Optional[int] = None
    never_worse: Optional[bool] = None


@dataclass(frozen=True)
class Sizes:
    """How much is measured."""

    instances: int
    runs: int
    cluster_runs: int
    cluster_cuts: int
    cluster_boards: Sequence[int]
    trials: int
    models: Sequence[str]
    seifer_boards: Sequence[int]


_QUICK = Sizes(200, 1, 1, 30, (12,), 1, ("ResNet50", "MobileNetV2"), (5, 10))

app = command_app("Measures the planner.")


@app.command()
def planner(
    instances: int = typer.Option(2000, min=1, help="Random instances to compare with brute force."),
    runs: int = typer.Option(5, min=1, help="Runs of each timed case."),
    cluster_runs: int = typer.Option(3, min=1, help="Clusters of each kind and size."),
    trials: int = typer.Option(3, min=1, help="SEIFER clusters for each model, memory and number of boards."),
    quick: bool = typer.Option(False, help="A few small instances of every case, whatever else is asked for."),
    as_json: bool = typer.Option(False, "--json", help="Print rows as JSON."),
) -> None:
    """Compare plans with brute force and with published heuristics, and time large ones.

    Example: python -m benchmarks.planner --json
    """
    sizes = _QUICK if quick else Sizes(instances, runs, cluster_runs, 100, (20, 50), trials, MODELS, BOARDS)
    with progress() as display:
        display.add_task("planning", total=None)
        rows = [*_small_cases(sizes), *_cluster_cases(sizes), *_seifer_cases(sizes)]
    if as_json:
        print_rows("planner", rows)
    else:
        _print(rows)


def _small_cases(sizes: Sizes) -> list[Row]:
    return [
        _against_brute_force("random, against trying every chain", sizes.instances, _search_bottleneck_s),
        _against_brute_force(
            "random, cluster search, against trying every chain", sizes.instances, _cluster_bottleneck_s
        ),
        _timed("one chain, unequal boards", 100, 8, 8, sizes.runs),
        _timed("one chain, 4 types", 500, 16, 4, sizes.runs),
        _timed("chains side by side, unequal boards", 100, 8, 8, sizes.runs, side_by_side=True),
        _timed("chains side by side, 4 types", 500, 16, 4, sizes.runs, side_by_side=True),
    ]


def _search_bottleneck_s(problem: ChainProblem) -> float:
    return judge_chain(problem, ChainSearch(problem).best()).bottleneck_s


def _cluster_bottleneck_s(problem: ChainProblem) -> float:
    return plan_cluster(problem).cost.bottleneck_s


def _against_brute_force(case: str, instances: int, plan_bottleneck_s: Bottleneck) -> Row:
    generator = np.random.default_rng(_SEED)
    worse, times_ms = 0, []
    for _ in range(instances):
        n_boards = int(generator.integers(1, 5))
        problem = random_problem(
            generator, int(generator.integers(2, 7)), n_boards, int(generator.integers(1, n_boards + 1))
        )
        expected_s = cheapest_by_trying(problem).bottleneck_s
        begun_s = time.perf_counter()
        try:
            found_s = plan_bottleneck_s(problem)
        except InfeasiblePlanError:
            found_s = np.inf
        times_ms.append((time.perf_counter() - begun_s) * 1e3)
        worse += found_s != expected_s
    return Row(
        case, instances, worse_than_brute_force=worse, time_ms=statistics.median(times_ms), slowest_ms=max(times_ms)
    )


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
    return Row(case, runs, cuts=cuts, boards=boards, time_ms=statistics.median(times_ms), slowest_ms=max(times_ms))


def _cluster_cases(sizes: Sizes) -> list[Row]:
    kinds = [(equal, wireless) for wireless in (False, True) for equal in (True, False)]
    return [_cluster(equal, wireless, boards, sizes) for equal, wireless in kinds for boards in sizes.cluster_boards]


def _cluster(equal_speeds: bool, wireless: bool, boards: int, sizes: Sizes) -> Row:
    plans, times_ms = [], []
    for number in range(sizes.cluster_runs):
        problem = cluster_problem(
            np.random.default_rng([_SEED, number]),
            sizes.cluster_cuts + 1,
            boards,
            equal_speeds=equal_speeds,
            wireless=wireless,
        )
        begun_s = time.perf_counter()
        plans.append(plan_cluster(problem))
        times_ms.append((time.perf_counter() - begun_s) * 1e3)
    links = "slow wireless links" if wireless else "pairwise links"
    case = f"cluster, {links}, {'equal' if equal_speeds else 'unequal'} speeds"
    return _bounded(case, plans, times_ms, sizes.cluster_cuts, boards)


def _bounded(
    case: str, plans: Sequence[ClusterPlan], times_ms: Sequence[float], cuts: int | None, boards: int | None
) -> Row:
    worst = max(plans, key=lambda plan: plan.certified_gap)
    return Row(
        case,
        len(times_ms),
        cuts=cuts,
        boards=boards,
        time_ms=statistics.median(times_ms),
        slowest_ms=max(times_ms),
        certified_gap=worst.certified_gap,
        bottleneck_ms=worst.cost.bottleneck_s * 1e3,
        lower_bound_ms=worst.lower_bound_s * 1e3,
    )


def _seifer_cases(sizes: Sizes) -> list[Row]:
    found = list(compare_all(sizes.models, MEMORY_MB, sizes.seifer_boards, sizes.trials, _SEED))
    rows = []
    for boards in sizes.seifer_boards:
        of_size = [c for c in found if c.n_boards == boards]
        plans = [c.plan for c in of_size if c.plan is not None]
        rows.append(_bounded("SEIFER clusters", plans, [c.time_ms for c in of_size], None, boards))
    rows += [_against("SEIFER clusters", heuristic, found) for heuristic in HEURISTICS]
    for model in sizes.models:
        of_model = [c for c in found if c.model == model]
        rows += [_against(f"SEIFER clusters, {model}", heuristic, of_model) for heuristic in HEURISTICS]
    return rows


def _against(case: str, heuristic: str, found: Sequence[Comparison]) -> Row:
    gains = gains_over(found, heuristic)
    return Row(
        case,
        len(found),
        heuristic=heuristic,
        mean_gain=statistics.geometric_mean(gains) if gains else None,
        gains=len(gains),
        never_worse=not any(c.is_worse_than(heuristic) for c in found),
    )


def _print(rows: Sequence[Row]) -> None:
    print_table(
        "planner",
        (
            "case",
            "instances",
            "cuts",
            "boards",
            "worse than brute force",
            "ms",
            "slowest ms",
            "gap",
            "slowest step ms",
            "bound ms",
        ),
        (
            (
                r.case,
                r.instances,
                "varies" if r.cuts is None else r.cuts,
                "varies" if r.boards is None else r.boards,
                _shown(r.worse_than_brute_force, "d"),
                _shown(r.time_ms, ".1f"),
                _shown(r.slowest_ms, ".1f"),
                _shown(r.certified_gap, ".2%"),
                _shown(r.bottleneck_ms, ".1f"),
                _shown(r.lower_bound_ms, ".1f"),
            )
            for r in rows
            if r.heuristic is None
        ),
    )
    print_table(
        "published heuristics on SEIFER's clusters: their slowest step / ours, geometric mean",
        ("case", "heuristic", "instances", "of several boards", "mean gain", "never worse"),
        (
            (r.case, r.heuristic, r.instances, r.gains, _shown(r.mean_gain, ".3f"), "yes" if r.never_worse else "NO")
            for r in rows
            if r.heuristic is not None
        ),
        text_columns=2,
    )


def _shown(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)


def main() -> None:
    """Entry point of `python -m benchmarks.planner`."""
    run(app, ())


if __name__ == "__main__":
    main()

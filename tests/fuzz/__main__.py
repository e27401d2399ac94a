"""The command: `python -m tests.fuzz [TARGET...] --seconds 60`."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Optional

import typer

from benchmarks.rows import print_rows
from terminal import command_app, print_table, progress, run
from tests.fuzz.corpus import COMMITTED, KEPT, REGRESSIONS, minimised, read_inputs, write_input
from tests.fuzz.runner import PASSED, Outcome, Row, engines, fuzz
from tests.fuzz.target import load_target, target_names

_MIB = 2**20
_MOST_LOG = 4000  # characters shown
_TARGETS = typer.Argument(None, help="Which to run; all of them without.")
_NO_LIMIT = 2**31 - 1  # libFuzzer counts so far


class FuzzError(Exception):
    """An input broke a bound, or no such target."""


app = command_app("Fuzzes everything that reads bytes from outside.")


@app.command()
def fuzz_command(
    targets: Optional[list[str]] = _TARGETS,
    seconds: float = typer.Option(60.0, min=1.0, help="For each target, at most."),
    inputs: int = typer.Option(_NO_LIMIT, min=1, help="For each target, at most.", show_default=False),
    seed: int = typer.Option(1, min=1, help="Other seeds try other inputs."),
    engine: str = typer.Option(engines()[0], help=f"One of {', '.join(engines())}."),
    as_json: bool = typer.Option(False, "--json", help="Print rows as JSON."),
    commit: bool = typer.Option(False, help="Add what the runs have found to the corpus in the repository, minimised."),
) -> None:
    """Run targets one after the other, each in its own process, until time or inputs are used up.

    Inputs that reach new code are kept in .cache/fuzz/corpus for the next run; one that breaks a bound goes to
    .cache/fuzz/failures, and the command fails.
    Example: python -m tests.fuzz frame tensor --seconds 10
    """
    chosen = targets or target_names()
    unknown = sorted(set(chosen) - set(target_names()))
    if unknown or engine not in engines():
        raise FuzzError(f"no target or engine {', '.join(unknown) or engine}; expected {', '.join(target_names())}.")
    outcomes = []
    with progress() as display:
        for name in chosen:
            display.add_task(name, total=None)
            outcomes.append(fuzz(name, inputs=inputs, seconds=seconds, seed=seed, kept=KEPT / name, engine=engine))
            if commit and outcomes[-1].row.outcome == PASSED:
                _commit(name)
    rows = [outcome.row for outcome in outcomes]
    if as_json:
        print_rows("fuzz", rows)
    else:
        _print(rows)
    _require_passed(outcomes)


def _commit(name: str) -> None:
    target = load_target(name)
    found = [*read_inputs(KEPT / name).values(), *read_inputs(COMMITTED / name).values()]
    kept_anyway = [*target.seeds(), *read_inputs(REGRESSIONS / name).values()]
    with tempfile.TemporaryDirectory() as scratch, target.start(Path(scratch)) as run_one:
        chosen = minimised(target, run_one, found, kept_anyway)
    for path in (COMMITTED / name).glob("*"):
        path.unlink()
    for data in chosen:
        write_input(COMMITTED / name, data)


def _print(rows: list[Row]) -> None:
    print_table(
        f"{sum(row.inputs for row in rows)} inputs",
        ("target", "engine", "inputs", "inputs/s", "s", "peak MiB", "corpus", "outcome"),
        (
            (
                row.case,
                row.engine,
                row.inputs,
                f"{row.inputs_per_s:.0f}",
                f"{row.wall_s:.1f}",
                f"{row.peak_rss_bytes / _MIB:.0f}",
                row.corpus_inputs,
                row.outcome,
            )
            for row in rows
        ),
        text_columns=2,
    )


def _require_passed(outcomes: list[Outcome]) -> None:
    failed = [outcome for outcome in outcomes if outcome.row.outcome != PASSED]
    if failed:
        raise FuzzError(
            "\n".join(f"{o.row.case} {o.row.outcome} on {o.row.failing_input}:\n{_defect(o.log)}" for o in failed)
        )


def _defect(log: str) -> str:
    """What matters of a failed run's output: libFuzzer and atheris say much."""
    start = log.find("Uncaught Python exception")
    return log[start:].partition("\n\n==")[0] if start >= 0 else log[-_MOST_LOG:]


def main() -> None:
    """Entry point of `python -m tests.fuzz`."""
    run(app, (FuzzError,))


if __name__ == "__main__":
    main()
